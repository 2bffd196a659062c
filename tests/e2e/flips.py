"""Bits that flip in files which the program wrote: each is noticed, or changes nothing.

    flips.py PROGRAM DATA [TEST ...]

A few places of each file are changed, at even distances; E2E_POINTS says how many (12). What has no digest is not here: weights
of others and what they bring along, whose reading tests/e2e/damage.c goes through.
"""
import concurrent.futures
import os
import shutil
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lines import rows  # noqa: E402
from program import DATA, PICTURE, WORK, Case, ask, main, make_model, run  # noqa: E402

POINTS = int(os.environ.get("E2E_POINTS", "12"))


class Flips(Case):
    def sweep(self, name, source, use, same):
        """Flips bits of `name` in copies of the directory `source`; use(folder) is the finished command that reads it, same(folder,
        done) whether its result is what it was. Returns how many flips were noticed."""
        size = (source / name).stat().st_size
        places = sorted({(size - 1) * i // max(1, POINTS - 1) for i in range(POINTS)})

        def attempt(place):
            folder = WORK / f"{self.id().rsplit('.', 1)[-1]}-{Path(name).name}-{place}"
            shutil.copytree(source, folder)
            data = bytearray((folder / name).read_bytes())
            data[place] ^= 1 << place % 8
            (folder / name).write_bytes(data)
            done = use(folder)
            try:
                if done.returncode != 0:
                    self.assertIn(done.returncode, (1, 2))
                    self.assertNotEqual(done.stderr + done.stdout, "")
                    return None, True
                return (None if same(folder, done) else f"{name}: byte {place} of {size}: used silently"), False
            finally:
                shutil.rmtree(folder)

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(attempt, places))
        noticed = sum(was for _, was in results)
        problems = [problem for problem, _ in results if problem is not None]
        print(f"{name}: {len(places)} flips, {noticed} refused", file=sys.stderr)
        if problems:
            self.fail("\n".join([f"{len(problems)} of {len(places)} flips:", *problems]))
        return noticed

    def data(self):
        directory = WORK / "looks"
        if not directory.exists():
            done = run("data", "make", "hops", directory, "--train", 6, "--dev", 2, "--test", 3, "--seed", 5)
            self.assertEqual(done.returncode, 0, done.stderr)
        return directory

    def test_results(self):
        """Going on with a result file, and its table."""
        source = WORK / "results"
        source.mkdir()

        def evaluate(folder):
            return run("eval", "-m", make_model("model"), "--data", f"hops:{self.data()}", "--method", "direct,ivt-lr", "--image-size",
                       "56x56", "-n", 2, "-t", 1, "-o", folder / "results.jsonl")

        self.assertEqual(evaluate(source).returncode, 0)
        expected = rows(source / "results.jsonl")
        self.sweep("results.jsonl", source, evaluate, lambda folder, done: rows(folder / "results.jsonl") == expected)
        table = run("eval", "table", source / "results.jsonl").stdout
        self.sweep("results.jsonl", source, lambda folder: run("eval", "table", folder / "results.jsonl"),
                   lambda folder, done: done.stdout == table or "note" in done.stderr or "line" in done.stderr)

    def train(self, folder, *more):
        recipe = WORK / "recipe.yaml"
        recipe.write_text(f"model: {make_model('model')}\nlora_r: 4\ndata: hops:{self.data()}\nmethod: ivt-lr\nk_select: 2\n"
                          "epochs_per_stage: 1\nmax_latent_stage: 1\nnum_epochs: 2\nbatch_size_training: 2\n"
                          "gradient_accumulation_steps: 1\nlr: !!float \"1e-3\"\nmax_samples: 4\nval_samples: 1\nval_tokens: 1\n"
                          "save_steps: 1\nthreads: 1\n", encoding="utf-8")
        return run("train", recipe, "--set", f"output={folder / 'run'}", *more)

    def test_checkpoint(self):
        source = WORK / "checkpoint"
        source.mkdir()
        done = self.train(source, "--set", "max_updates=3")
        self.assertEqual(done.returncode, 0, done.stderr)
        last = sorted((source / "run/checkpoints").iterdir())[-1]
        name = str(last.relative_to(source))
        adapter = sorted(str(path.relative_to(source)) for path in (source / "run").rglob("adapter_model.safetensors"))[-1]
        noticed = self.sweep(name, source, lambda folder: self.train(folder, "--set", "max_updates=3", "--resume"),
                             lambda folder, done: "checkpoint" in done.stderr)
        self.assertGreater(noticed, POINTS // 2)
        expected = ask("--lora", source / Path(adapter).parent, "-p", "What is this?", "--image", PICTURE, "--method", "ivt-lr")
        self.assertEqual(expected.returncode, 0, expected.stderr)
        noticed = self.sweep(adapter, source, lambda folder: ask("--lora", folder / Path(adapter).parent, "-p", "What is this?", "--image",
                                                                 PICTURE, "--method", "ivt-lr"), lambda folder, done: False)
        self.assertEqual(noticed, POINTS)

        about = str(Path(adapter).parent / "training.json")
        self.sweep(about, source, lambda folder: ask("--lora", folder / Path(adapter).parent, "-p", "What is this?", "--image", PICTURE),
                   lambda folder, done: "training.json" in done.stderr)

    def test_packed(self):
        source = WORK / "packed"
        source.mkdir()
        done = run("quantize", make_model("model"), "-o", source / "small", "--type", "Q8_0", "-t", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        noticed = self.sweep("small/model.safetensors", source, lambda folder: run("inspect", "-m", folder / "small", "--check"),
                             lambda folder, done: False)
        self.assertEqual(noticed, POINTS)


if __name__ == "__main__":
    main()
