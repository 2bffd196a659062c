"""Published samples of both benchmarks, end to end with the default model through all methods. Right answers are not expected of
it; that every question is asked and answered is. The samples may not be copied into this repository: TENEBRA_EVAL_DATA tells
where they are, and without it the test is skipped.

    samples.py PROGRAM DATA [TEST ...]
"""
import json
import os
import sys

sys.dont_write_bytecode = True
PLACE = os.environ.get("TENEBRA_EVAL_DATA")
if not PLACE:
    print("skipped: TENEBRA_EVAL_DATA names no directory with published samples")
    sys.exit(77)
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import WORK, Case, main, run  # noqa: E402

METHODS = ("direct", "cot", "mmcot", "ccot", "scaffold", "icot", "cof", "coconut", "ivt-lr", "ivt-lr-words")


class Samples(Case):
    def check(self, place, name, questions):
        output = WORK / f"{name}.jsonl"
        done = run("eval", "-d", place, "--split", "test", "--method", ",".join(METHODS), "-n", 16, "-w", 2, "-o", output)
        self.assertEqual(done.returncode, 0, done.stderr)
        records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()[1:]]
        self.assertEqual(len(records), questions * len(METHODS))
        for record in records:
            self.assertNotIn("failed", record)
            self.assertGreater(record["prompt_tokens"], record["image_tokens"])
            self.assertGreater(record["image_tokens"], 0)
        self.assertEqual({record["method"] for record in records}, set(METHODS))
        scores = run("eval", "score", "--scorer", "strict,m3cot", "--json", output)
        self.assertEqual(scores.returncode, 0, scores.stderr)
        self.assertEqual(run("eval", "table", output).returncode, 0)
        page = WORK / f"{name}.html"
        self.assertEqual(run("eval", "report", output, "-o", page).returncode, 0)
        self.assertIn("ivt-lr", page.read_text(encoding="utf-8"))

    def test_m3cot(self):
        self.check(f"m3cot:{PLACE}/samples/m3cot", "m3cot", 18)

    def test_scienceqa(self):
        with open(f"{PLACE}/samples/scienceqa/data/scienceqa/pid_splits.json", encoding="utf-8") as file:
            ids = json.load(file)["test"]
        with open(f"{PLACE}/samples/scienceqa/data/scienceqa/problems.json", encoding="utf-8") as file:
            problems = json.load(file)
        self.check(f"scienceqa:{PLACE}/samples/scienceqa", "scienceqa", sum(problems[key]["image"] is not None for key in ids))


if __name__ == "__main__":
    main()
