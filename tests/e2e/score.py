"""tenebra eval score: files of other programs and our own, keys, scorers side by side, mistakes.

    score.py PROGRAM DATA [TEST ...]
"""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
from program import DATA, WORK, Case, main, make_model, run  # noqa: E402

EVAL = DATA / "eval"


def score(*arguments):
    done = run("eval", "score", "--json", *arguments)
    if done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)["files"]


class Score(Case):
    def test_shape(self):
        files = score("--scorer", "m3cot", "--key", EVAL / "key.jsonl", EVAL / "results.jsonl")
        self.assertEqual(files, [{"file": str(EVAL / "results.jsonl"), "scores": {"m3cot": {
            "total": 3, "correct": 2, "acc": 66.67, "groups": {
                "science": {"total": 1, "correct": 1, "acc": 100.0}, "commonsense": {"total": 1, "correct": 0, "acc": 0.0},
                "mathematics": {"total": 1, "correct": 1, "acc": 100.0}, "optics": {"total": 1, "correct": 1, "acc": 100.0},
                "physical": {"total": 1, "correct": 0, "acc": 0.0}, "algebra": {"total": 1, "correct": 1, "acc": 100.0}}}}}])

    def test_side_by_side(self):
        names = ["m3cot", "strict", "ivtlr-m3cot", "ivtlr-m3cot:headers_dropped", "sqa", "sqa_paren", "bracket", "answer_tag",
                 "last_named", "ivtlr-sqa"]
        [file] = score("--scorer", ",".join(names), "--key", EVAL / "key.jsonl", EVAL / "results.jsonl")
        self.assertEqual(list(file["scores"]), names)
        self.assertEqual({scores["total"] for scores in file["scores"].values()}, {3})
        kept, dropped = (file["scores"][name] for name in names[2:4])
        self.assertEqual(kept["groups"]["headers_dropped"], {key: dropped[key] for key in ("total", "correct", "acc")})
        text = run("eval", "score", "--scorer", ",".join(names[:3]), "--key", EVAL / "key.jsonl", EVAL / "results.jsonl")
        self.assertEqual(text.returncode, 0)
        self.assertIn("66.67 [ 20.8,  93.9]", text.stdout)
        self.assertIn("2 rows cannot be read", text.stderr)
        self.assertIn("answers 3 of the key's 4 questions", text.stderr)

    def test_table_of_indices(self):
        [file] = score("--scorer", "sqa", "--key", EVAL / "problems.json", EVAL / "results.json")
        groups = file["scores"]["sqa"]["groups"]
        self.assertEqual([groups[name]["acc"] for name in ("NAT", "SOC", "LAN", "TXT", "IMG", "NO", "G1-6", "G7-12", "Avg")],
                         [100, 100, 0, 100, 100, 0, 100, 50, 66.67])
        self.assertEqual(groups["biology"], {"total": 0, "correct": 0, "acc": -1})

    def test_own_file(self):
        """The default scorer reproduces what the run recorded, with options that only the data set has."""
        looks, output = WORK / "looks", WORK / "own.jsonl"
        done = run("data", "make", "hops", looks, "--train", 2, "--dev", 2, "--test", 8, "--seed", 5)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("eval", "-m", make_model("model"), "--data", f"hops:{looks}", "--method", "direct,ivt-lr", "--image-size",
                   "112x112", "-n", 5, "-t", 1, "-o", output)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        option = json.loads((looks / "data/test.jsonl").read_text().splitlines()[0])["choices"]
        for row in rows[1:]:
            if row["n"] == 0:
                row["text"] = f"The answer is {option[ord(row['gold']) - ord('A')]}."
                row["correct"] = True
        output.write_text("".join(json.dumps(row) + "\n" for row in rows))
        files = score(output)
        self.assertEqual(sorted(file["method"] for file in files), ["direct", "ivt-lr"])
        for file in files:
            found = file["scores"]["strict"]
            self.assertEqual(found["total"], 8)
            self.assertEqual(found["correct"], sum(row["correct"] for row in rows[1:] if row["method"] == file["method"]))
            self.assertGreaterEqual(found["correct"], 1)

    def test_files_that_fail(self):
        broken = WORK / "broken.jsonl"
        broken.write_text("nothing\n")
        done = run("eval", "score", "--json", "--key", EVAL / "key.jsonl", broken, EVAL / "results.jsonl", WORK / "absent")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(json.loads(done.stdout)["files"]), 1)
        self.assertIn("broken.jsonl", done.stderr)
        self.assertIn("absent", done.stderr)
        done = run("eval", "score", "--scorer", "m3cot", "--key", EVAL / "problems.json", EVAL / "results.json")
        self.assertEqual(done.returncode, 0)  # it has texts for each question
        indices = WORK / "indices.json"
        indices.write_text('{"results": {"7": 1}}')
        done = run("eval", "score", "--scorer", "m3cot", "--key", EVAL / "problems.json", indices)
        self.assertEqual(done.returncode, 1)
        self.assertIn("'m3cot'", done.stderr)

    def test_mistakes(self):
        for arguments, words in (((), "result files"), (("--scorer", "none", "x"), "'none'"), (("--scorer", ",", "x"), "scorer"),
                                 (("--scorer", "sqa:x", "x"), "variants"), (("--scorer", "m3cot:x", "x"), "variants"),
                                 (("--key", EVAL / "key.jsonl", "--split", "dev", "x"), "'dev'"),
                                 (("--scorer", ",".join(["sqa"] * 17), "x"), "16")):
            done = run("eval", "score", *arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(words, done.stderr)
        done = run("eval", "score", "--key", WORK / "absent", "x")
        self.assertEqual(done.returncode, 1)
        listed = run("eval", "score", "--list")
        self.assertEqual(listed.returncode, 0)
        self.assertEqual(len([line for line in listed.stdout.splitlines() if line[0] != " "]), 11)
        self.assertIn("eval score --scorer", run("eval", "score", "--help").stdout)


if __name__ == "__main__":
    main()
