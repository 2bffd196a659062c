"""Kills at system calls: whatever call on a file a command dies at, or in the middle of, the next one succeeds, its results are
those of a run that nobody killed, and nothing that is half lies under its final name.

    E2E_KILL=KILLER kills.py PROGRAM DATA [TEST ...]      KILLER: tests/e2e/support/kill.c, built

Each command dies at E2E_POINTS (10) of its calls, at even distances; with E2E_POINTS=all at each.
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lines import rows  # noqa: E402
from program import DATA, HANG, PROGRAM, WORK, Case, environment, main, make_model, run  # noqa: E402

KILLER, POINTS = os.environ.get("E2E_KILL"), os.environ.get("E2E_POINTS", "10")


def kill(number, mode, arguments):
    """(finished process, calls seen)"""
    done = subprocess.run([KILLER, str(number), mode, os.path.abspath(PROGRAM), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, encoding="utf-8", errors="replace", env=environment(), timeout=HANG, check=False)
    found = re.search(r"calls: (\d+) (\w+)\n\Z", done.stderr)
    return done, int(found.group(1)) if found else None


def tree(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(Path(directory).rglob("*")) if path.is_file()}


class Kills(Case):
    def sweep(self, command, finish, check, look=None):
        """command(folder): what is killed; finish(folder): what comes after it, and succeeds; check(folder): what must be then;
        look(folder): what must be at once."""
        name = self.id().rsplit(".", 1)[-1]
        whole = WORK / f"{name}-whole"
        whole.mkdir()
        done, count = kill(0, "before", command(whole))
        if done.returncode == 77:
            self.skipTest("the system does not let a process be traced")
        self.assertEqual(done.returncode, 0, done.stderr)
        check(whole)
        step = 1 if POINTS == "all" else max(1, count // int(POINTS))
        jobs = [(n, "before") for n in range(1, count + 1, step)] + [(n, "half") for n in range(1 + step // 2, count + 1, step)]

        def attempt(job):
            folder = WORK / f"{name}-{job[0]}-{job[1]}"
            folder.mkdir()
            try:
                done, _ = kill(job[0], job[1], command(folder))
                if done.returncode != 137:  # a few calls more or less, as threads take turns
                    self.assertEqual(done.returncode, 0, done.stderr)
                if look is not None:
                    look(folder)
                after = run(*finish(folder))
                self.assertEqual(after.returncode, 0, after.stderr)
                check(folder)
                return None, done.returncode == 137
            except (AssertionError, OSError, ValueError) as problem:
                return f"{job[1]} call {job[0]}: {str(problem)[:600]}", done.returncode == 137
            finally:
                shutil.rmtree(folder)

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(attempt, jobs))
        killed = sum(dead for _, dead in results)
        print(f"{name}: {count} calls, {len(jobs)} runs, {killed} killed", file=sys.stderr)
        problems = [problem for problem, _ in results if problem is not None]
        self.assertGreater(killed, len(jobs) // 2)
        if problems:
            self.fail("\n".join([f"{len(problems)} of {len(jobs)} runs:", *problems[:40]]))

    def assert_same(self, found, expected):
        if found != expected:
            names = [name for name in {**found, **expected} if found.get(name) != expected.get(name)]
            self.fail(f"differ: {names}")

    def data(self):
        directory = WORK / "looks"
        if not directory.exists():
            done = run("data", "make", "hops", directory, "--train", 6, "--dev", 2, "--test", 3, "--seed", 5)
            self.assertEqual(done.returncode, 0, done.stderr)
        return directory

    def test_eval(self):
        model, data = make_model("model"), self.data()

        def command(folder):
            return ("eval", "-m", model, "--data", f"hops:{data}", "--method", "direct,ivt-lr", "--image-size", "56x56", "-n", 2,
                    "-t", 1, "-o", folder / "results.jsonl")

        expected = []

        def check(folder):
            expected.append(rows(folder / "results.jsonl"))
            self.assertEqual(len(expected[0]), 7)
            self.assertEqual(expected[-1], expected[0])
            self.assertEqual([path.name for path in folder.iterdir()], ["results.jsonl"])

        self.sweep(command, command, check)

    def test_train(self):
        recipe = WORK / "recipe.yaml"
        recipe.write_text(f"shape: tiny\ntokenizer: {DATA / 'tokenizer-small'}\ndata: hops:{self.data()}\nmethod: ivt-lr\n"
                          "k_select: 2\nepochs_per_stage: 1\nmax_latent_stage: 1\nnum_epochs: 2\nbatch_size_training: 2\n"
                          "gradient_accumulation_steps: 1\nlr: !!float \"1e-3\"\nmax_samples: 4\nval_samples: 1\nval_tokens: 1\n"
                          "save_steps: 1\nthreads: 1\n", encoding="utf-8")
        expected = []

        def command(folder):
            return "train", recipe, "--set", f"output={folder / 'run'}"

        def finish(folder):
            return *command(folder), *(["--resume"] if (folder / "run").exists() else [])

        def check(folder):
            expected.append((rows(folder / "run/log.jsonl"), sorted(path.name for path in (folder / "run").iterdir()),
                             tree(folder / "run/model")["model.safetensors"]))
            for found, wanted in zip(expected[-1], expected[0]):
                self.assertEqual(found, wanted)

        self.sweep(command, finish, check)

    def test_quantize(self):
        model = make_model("model")
        expected = []

        def command(folder):
            return "quantize", model, "-o", folder / "small", "--type", "Q8_0", "-t", 1

        def finish(folder):
            return *command(folder), *(["--force"] if (folder / "small").exists() else [])

        def look(folder):
            if (folder / "small").exists():
                self.assert_same(tree(folder / "small"), expected[0])

        def check(folder):
            expected.append(tree(folder / "small"))
            self.assert_same(expected[-1], expected[0])
            self.assertEqual([path.name for path in folder.iterdir()], ["small"])

        self.sweep(command, finish, check, look)

    def test_data_make(self):
        expected = []

        def command(folder):
            return "data", "make", "hops", folder / "set", "--train", 3, "--dev", 1, "--test", 1, "--seed", 5

        def check(folder):
            expected.append(tree(folder / "set"))
            self.assert_same(expected[-1], expected[0])

        def look(folder):
            """The file of rows exists only if all of its images do; the description of the set is written last."""
            for path in (folder / "set").glob("data/*"):
                name = str(path.relative_to(folder / "set"))
                if name in expected[0]:
                    self.assertEqual(path.read_bytes(), expected[0][name], name)

        self.sweep(command, command, check, look)

    def test_reports(self):
        results = WORK / "for-report.jsonl"
        if not results.exists():
            done = run("eval", "-m", make_model("model"), "--data", f"hops:{self.data()}", "--method", "direct", "--image-size",
                       "56x56", "-n", 2, "-t", 1, "-o", results)
            self.assertEqual(done.returncode, 0, done.stderr)
        expected = []

        def command(folder):
            return "eval", "report", results, "-o", folder / "page.html"

        def finish(folder):
            return *command(folder), *(["--force"] if (folder / "page.html").exists() else [])

        def look(folder):
            if (folder / "page.html").exists():
                self.assertEqual((folder / "page.html").read_bytes(), expected[0])

        def check(folder):
            expected.append((folder / "page.html").read_bytes())
            self.assertEqual(expected[-1], expected[0])
            self.assertEqual([path.name for path in folder.iterdir()], ["page.html"])

        self.sweep(command, finish, check, look)


if __name__ == "__main__":
    if KILLER is None:
        sys.exit(77)  # a build that has no killer
    main()
