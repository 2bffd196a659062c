"""Bits that flip in files which the program wrote: each is noticed, or changes nothing.

    flips.py PROGRAM DATA [TEST ...]

A few places of each file are changed, at even distances; E2E_POINTS says how many (12). What has no digest is not here: weights
of others and what they bring along, whose reading tests/e2e/damage.c goes through.
"""
import concurrent.futures
import json
import os
import shutil
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import WORK, Case, main, make_model, run  # noqa: E402

POINTS = int(os.environ.get("E2E_POINTS", "12"))
CLOCK = {"ms", "tokens_per_second", "mfu", "seconds"}


def without_clock(value):
    """Nor the digest of a record, which is over its times too."""
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if key != "digest" or "ms" not in value}
        return {key: without_clock(item) for key, item in value.items() if key not in CLOCK and not key.endswith("_ms")}
    return [without_clock(item) for item in value] if isinstance(value, list) else value


def rows(path):
    return sorted(json.dumps(without_clock(json.loads(line)), sort_keys=True) for line in Path(path).read_text().splitlines())


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
                    self.assertRegex(done.stderr, "tenebra")
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


if __name__ == "__main__":
    main()
