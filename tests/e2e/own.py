"""A data set of one's own (jsonl:FILE): asked, scored as open questions, trained with a part held out."""
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
from program import DATA, WORK, Case, main, make_model, run  # noqa: E402


def make_set(name="own", rows=40, **more):
    """Rows alternately open and with choices, on topics a and b, each with a separate image."""
    folder = WORK / name
    folder.mkdir(exist_ok=True)
    lines = []
    for i in range(rows):
        picture = folder / f"pictures/{i}.png"
        picture.parent.mkdir(exist_ok=True)
        shutil.copy(next(DATA.rglob("*.png")), picture)
        row = {"id": i, "question": f"What is it, number {i}?", "image": f"pictures/{i}.png", "topic": "ab"[i % 2], "rationale": "It is so. Look."}
        row.update({"choices": ["red", "blue"], "answer": "blue"} if i % 2 else {"answer": "seven", "answers": [7]})
        lines.append(json.dumps({**row, **more}))
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    return f"jsonl:{folder / 'rows.jsonl'}"


def recipe(name, data, **keys):
    path = WORK / f"{name}.yaml"
    keys = {"shape": "tiny", "tokenizer": DATA / "tokenizer-small", "data": data, "method": "direct", "num_epochs": 1, "batch_size": 2,
            "gradient_accumulation_steps": 1, "image_size": "56x56", **keys}
    path.write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
    return path


class Own(Case):
    def test_asked_and_scored(self):
        place, target = make_set("asked", 6, mood="x"), WORK / "own.jsonl"
        call = ("eval", "-m", make_model("model"), "--data", place, "--method", "direct", "--image-size", "56x56", "-n", 4, "-t", 1, "-o", target)
        done = run(*call)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("unused fields in its rows: mood", done.stderr)
        self.assertIn("no row names a split", done.stderr)
        manifest, *rows = map(json.loads, target.read_text().splitlines())
        self.assertEqual((manifest["data"]["set"], manifest["data"]["questions"], manifest["data"]["of"]), ("jsonl", 6, 6))
        self.assertEqual([(row["id"], row["gold"], row["options"]) for row in rows[:2]], [("0", "seven", 0), ("1", "B", 2)])
        # What the answers would have to be: the text is put there, in a file without digests.
        del manifest["digest"]
        for row, text in zip(rows, ("The answer is 7.", "blue", " seven ", "The answer is A.", "eight", "B")):
            del row["digest"]
            row["text"] = text
        answers = WORK / "answered.jsonl"
        answers.write_text("".join(json.dumps(row) + "\n" for row in (manifest, *rows)))
        for scorer, right in (("exact", 3), ("match", 4), ("strict", 4)):
            table = json.loads(run("eval", "table", answers, "--scorer", scorer, "--json").stdout)["tables"][0]
            self.assertEqual(table["rows"][0][3]["correct"], right, scorer)
            score = json.loads(run("eval", "score", answers, "--scorer", scorer, "--json").stdout)["files"][0]["scores"]
            self.assertEqual(score[scorer]["correct"], right, scorer)
        # An open question names no option, so its wrong answers are none without one.
        self.assertEqual(json.loads(run("eval", "table", answers, "--scorer", "strict", "--json").stdout)["tables"][0]["rows"][0][4], 0)
        (WORK / "asked/pictures/3.png").unlink()
        done = run(*call[:-1], WORK / "failing.jsonl")
        self.assertEqual(done.returncode, 1)
        self.assertIn("1 failed", done.stdout)

    def plan(self, path, *more):
        done = run("train", path, "-o", WORK / "never", "--plan", "--json", *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["samples"], done.stderr

    def test_held_out(self):
        place = make_set()
        usual, _ = self.plan(recipe("usual", place))
        some, _ = self.plan(recipe("some", place, val_fraction=0.3))
        whole, _ = self.plan(recipe("whole", place, validate="false", train_split="all"))
        topic, _ = self.plan(recipe("topic", place, val_fraction=0.3, topics="a"))
        self.assertEqual(whole, 40)
        self.assertTrue(some < usual < 40 and 0 < topic < some, (some, usual, topic))
        shown = [run("data", "show", place, "--split", split, "--limit", 99).stdout.count("== ") for split in ("train", "dev", "all")]
        self.assertEqual(shown, [usual, 40 - usual, 40])
        target = WORK / "held.jsonl"
        done = run("eval", "-m", make_model("model"), "--data", place, "--split", "train", "--held-out", 0.3, "--method", "direct", "--image-size",
                   "56x56", "-n", 2, "-t", 1, "-o", target)
        self.assertEqual(done.returncode, 0, done.stderr)
        manifest = json.loads(target.read_text().splitlines()[0])["data"]
        self.assertEqual((manifest["questions"], manifest["held_out"]), (40 - some, 0.3))
        self.assertEqual(run("eval", "table", target, "--scorer", "match").returncode, 0)

    def test_any_right_answer_counts_in_validation(self):
        """Of two untrained questions, what the model says is right: as the answer, as another one, or not."""
        make_set("said", 2)
        rows = [{"id": i, "question": f"What is number {i}?", "image": f"pictures/{i}.png", "rationale": "So.", "split": "dev"} for i in range(2)]

        def write(name, answers):
            path = WORK / "said" / f"{name}.jsonl"
            path.write_text("".join(json.dumps({**row, **answer}) + "\n" for row, answer in zip(rows, answers)))
            return f"jsonl:{path}"

        target = WORK / "said.jsonl"
        done = run("eval", "-m", make_model("model"), "--data", write("asked", [{"answer": "x"}] * 2), "--split", "dev", "--method", "direct",
                   "--preset", "brief", "--positions", "sequential", "--image-size", "56x56", "-n", 1, "-t", 1, "-o", target)
        self.assertEqual(done.returncode, 0, done.stderr)
        said = [row["text"].strip() for row in map(json.loads, target.read_text().splitlines()[1:])]
        for name, answers, right in (("first", [{"answer": word} for word in said], 1.0),
                                     ("other", [{"answer": "zq", "answers": ["qz", word]} for word in said], 1.0),
                                     ("half", [{"answer": "zq", "answers": [said[0]]}, {"answer": "zq", "answers": ["qz"]}], 0.5),
                                     ("none", [{"answer": "zq", "answers": ["qz"]}] * 2, 0.0)):
            path = recipe(name, make_set(), shape="null", tokenizer="null", model=make_model("model"), val_data=write(name, answers), val_split="dev",
                          prompt="brief", positions="sequential", val_tokens=1, max_updates=1, lr=0, finetuning_type="lora")
            done = run("train", path, "-o", WORK / f"run-{name}", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            log = [json.loads(line) for line in (WORK / f"run-{name}/log.jsonl").read_text().splitlines()]
            self.assertEqual([row["validation_accuracy"] for row in log if "validation_accuracy" in row], [right], name)

    def test_mistakes_and_notes(self):
        place, other = make_set("mistakes"), make_set("other", 8)
        self.assert_fails(run("train", recipe("both", place, val_fraction=0.1, val_data=other), "-o", WORK / "never", "--plan"), 2, "val_fraction")
        done = run("train", recipe("some", place, topics="a,c"), "-o", WORK / "never", "--plan")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no training sample has the topic 'c'", done.stderr)
        self.assertNotIn("topic 'a'", done.stderr)
        self.assert_fails(run("train", recipe("none", place, topics="c"), "-o", WORK / "never", "--plan"), 2, "topics")
        _, notes = self.plan(recipe("test", place, val_split="test"))
        self.assertIn("val_split is the test split", notes)
        _, notes = self.plan(recipe("dev", place))
        self.assertNotIn("val_split", notes)


main()
