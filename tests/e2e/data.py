"""`tenebra data`: a generated data set from its making to a vocabulary, and what is refused.

    data.py PROGRAM DATA [TEST ...]
"""
import json
import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import PICTURE, WORK, Case, main, run  # noqa: E402

# Of 30 training samples with seed 5, on every machine; it changes only when the set is meant to change.
HASH = "3b215f91e591f5e4"
# The same for varied questions and images.
HASH_VARIED = "ed5a3310e7769496"
# The same for marks.
HASH_MARKED = "82e30fec869834f2"


def made(name="looks", *options):
    """A small generated data set, made once for each name."""
    directory = WORK / name
    if not directory.exists():
        done = run("data", "make", "hops", directory, "--train", 30, "--dev", 12, "--test", 0, "--seed", 5, *options)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
    return directory


def copy(name):
    target = WORK / name
    shutil.copytree(made(), target)
    return target


def rows(directory, split):
    with open(directory / "data" / f"{split}.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Make(Case):
    def test_layout(self):
        train = rows(made(), "train")
        self.assertEqual(len(train), 30)
        self.assertEqual(len(rows(made(), "dev")), 12)
        self.assertFalse((made() / "data" / "test.jsonl").exists())
        for row in train:
            self.assertEqual(set(row), {"id", "category", "image_id", "question", "choices", "context", "answer",
                                        "rationale", "split", "image", "domain", "topic"})
            self.assertTrue((made() / row["image"]).is_file())
            self.assertEqual(len(row["choices"]), 4)
            self.assertIn(row["answer"], "ABCD")
            self.assertEqual(row["split"], "train")
        self.assertEqual(len({row["id"] for row in train}), 30)
        self.assertEqual({row["domain"] for row in train}, {"arrows", "nearest", "count"})
        self.assertEqual(len({row["topic"] for row in train[:12]}), 12)

    def test_same_seed_same_set(self):
        described = json.loads((made() / "data/made.json").read_text())
        self.assertEqual(described["splits"]["train"], {"rows": 30, "hash": HASH})
        done = run("data", "make", "hops", WORK / "again", "--train", 30, "--dev", 0, "--test", 0, "--seed", 5, "--json")
        self.assertEqual(json.loads(done.stdout)["splits"], {"train": {"rows": 30, "hash": HASH}})
        self.assertEqual((WORK / "again/data/train.jsonl").read_bytes(), (made() / "data/train.jsonl").read_bytes())
        done = run("data", "make", "hops", WORK / "other", "--train", 30, "--dev", 0, "--test", 0, "--seed", 6, "--json")
        self.assertNotEqual(json.loads(done.stdout)["splits"]["train"]["hash"], HASH)

    def test_chosen_kinds(self):
        done = run("data", "make", "hops", WORK / "kinds", "--train", 8, "--dev", 0, "--test", 0, "--families", "arrows",
                   "--hops", "3-4", "--size", 224)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({row["topic"] for row in rows(WORK / "kinds", "train")}, {"arrows-3", "arrows-4"})
        for row in rows(WORK / "kinds", "train"):
            self.assertEqual(len(row["rationale"].split("\n")), int(row["topic"][-1]))

    def test_questions_and_pictures_that_vary(self):
        options = ("--families", "arrows,sight", "--brief", "--varied")
        seen, unseen = made("seen", *options, "--wordings", "seen"), made("unseen", *options, "--wordings", "unseen")
        self.assertEqual(json.loads((seen / "data/made.json").read_text())["splits"]["train"], {"rows": 30, "hash": HASH_VARIED})
        train = rows(seen, "train")
        self.assertEqual({row["domain"] for row in train}, {"arrows", "sight"})
        self.assertEqual({len(row["rationale"].split("\n")) for row in train}, {6})
        self.assertGreater(len({len(row["choices"]) for row in train}), 3)
        asked = [{row["question"] for row in rows(place, "train")} for place in (seen, unseen)]
        self.assertEqual((len(asked[0]), len(asked[1]), len(asked[0] & asked[1])), (30, 30, 0))
        shown = run("data", "show", f"hops:{seen}", "--split", "train", "--preset", "verbatim", "--limit", 1).stdout
        self.assertIn(train[0]["question"], shown)
        self.assertNotIn("[Options]", shown.replace(train[0]["question"], ""))
        self.assertGreater(len({(seen / row["image"]).read_bytes()[16:24] for row in train}), 2)  # width and height

    def test_marks(self):
        directory = made("marked", "--families", "detail,marks", "--brief")
        described = json.loads((directory / "data/made.json").read_text())
        self.assertEqual((described["splits"]["train"], described["size"]), ({"rows": 30, "hash": HASH_MARKED}, 224))
        for row in rows(directory, "train"):
            self.assertEqual(set(row["choices"]), {"plain", "bars", "lines", "checks"})
            if row["domain"] == "detail":
                steps = row["rationale"].split(".\n")
                self.assertEqual(steps[int(row["topic"][-1]):], [row["choices"]["ABCD".index(row["answer"])]] * (4 - int(row["topic"][-1])))

    def test_regions(self):
        """The cell of the object whose mark is asked for; everything else is as without them."""
        plain = made("marked", "--families", "detail,marks", "--brief")
        for name, more in (("regions", ("--brief",)), ("regions-in-sentences", ())):
            directory = made(name, "--families", "detail,marks", "--regions", *more)
            self.assertTrue(json.loads((directory / "data/made.json").read_text())["regions"])
            for row, same in zip(rows(directory, "train"), rows(plain, "train")):
                self.assertEqual("regions" in row, row["domain"] == "detail")
                self.assertEqual((row["question"], row["answer"]), (same["question"], same["answer"]))
                self.assertEqual((directory / row["image"]).read_bytes(), (plain / same["image"]).read_bytes())
                if row["domain"] == "marks":
                    continue
                (region,) = row["regions"]
                x0, y0, x1, y1 = region["box"]
                self.assertEqual((x1 - x0, y1 - y0, 4 * x0 % 1, 4 * y0 % 1), (0.25, 0.25, 0, 0))
                steps = row["rationale"].split("." + "\n")
                self.assertIn(row["choices"]["ABCD".index(row["answer"])], steps[region["after"]])
                self.assertFalse(any(mark in step for step in steps[:region["after"]] for mark in row["choices"]))
            self.assertEqual(run("data", "check", f"hops:{directory}", "--split", "train").returncode, 0)
            shown = run("data", "show", f"hops:{directory}", "--split", "train").stdout
            self.assertIn("of the image, after ", shown)
        self.assertNotIn("regions", (plain / "data/made.json").read_text())

    def test_refused(self):
        for arguments, code, part in (
                (("hops", WORK / "x", "--families", "detail", "--size", 112), 2, "--size 224"),
                (("hops", WORK / "x", "--wordings", "all"), 2, "--wordings"),
                (("hops", WORK / "x", "--wordings", "seen"), 2, "choose among arrows and sight"),
                (("hops", WORK / "x", "--varied", "--hints", 0.5), 2, "--hints"),
                (("hops", WORK / "x", "--regions"), 2, "--families detail"),
                (("hops",), 2, "requires the name of a data set and a directory"),
                (("m3cot", WORK / "x"), 2, "no set of the name '"),
                (("hops", WORK / "x", "--hops", "4-2"), 2, "--hops"),
                (("hops", WORK / "x", "--hops", "x"), 2, "--hops"),
                (("hops", WORK / "x", "--families", "arows"), 2, "arows"),
                (("hops", WORK / "x", "--size", 99), 2, "multiple of 28"),
                (("hops", WORK / "x", "--grid", 9), 2, "--grid"),
                (("hops", made()), 1, "exists"),
                (("hops", PICTURE), 1, PICTURE)):
            done = run("data", "make", *arguments)
            self.assertEqual(done.returncode, code, arguments)
            self.assertIn(part, done.stderr)
            self.assertEqual(done.stdout, "")


class Check(Case):
    def test_complete(self):
        done = run("data", "check", f"hops:{made()}", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertTrue(report["ok"])
        self.assertEqual([(one["split"], one["rows"], one["bad_images"]) for one in report["splits"]],
                         [("train", 30, 0), ("dev", 12, 0)])

    def test_missing_rows(self):
        place = copy("short")
        lines = (place / "data/train.jsonl").read_text().splitlines(True)
        (place / "data/train.jsonl").write_text("".join(lines[:-1]))
        done = run("data", "check", f"hops:{place}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("WRONG: a complete split has 30", done.stdout)
        self.assertEqual(run("data", "check", f"hops:{place}", "--subset").returncode, 0)
        self.assertEqual(run("data", "check", f"hops:{place}", "--split", "dev").returncode, 0)

    def test_what_a_made_set_says_of_itself(self):
        place = copy("said")
        path = place / "data/made.json"
        said = json.loads(path.read_text())
        self.assertNotIn("note", run("data", "check", f"hops:{place}").stderr)
        path.write_text(json.dumps({**said, "noise": 2, "splits": {**said["splits"], "dev": {**said["splits"]["dev"], "shards": 3}}}))
        done = run("data", "check", f"hops:{place}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("note       not read: data/made.json: noise, dev.shards\n", done.stderr)
        for change, word in (({"set": "easy-vqa"}, "easy-vqa"), ({"splits": {"trian": {"rows": 3}}}, "trian"), ({"splits": []}, "splits"),
                             ({"splits": {"train": {"rows": "30"}}}, "rows")):
            path.write_text(json.dumps({**said, **change}))
            done = run("data", "check", f"hops:{place}")
            self.assertEqual(done.returncode, 1, change)
            self.assertIn(word, done.stderr)
            self.assertIn("made.json", done.stderr)

    def test_bad_pictures(self):
        place = copy("pictures")
        first, second = rows(place, "dev")[:2]
        (place / first["image"]).unlink()
        (place / second["image"]).write_bytes((place / second["image"]).read_bytes()[:-20])
        done = run("data", "check", f"hops:{place}", "--subset")
        self.assertEqual(done.returncode, 1)
        self.assertIn("2 unreadable images", done.stdout)
        self.assertIn(first["image"], done.stderr)
        self.assertIn(second["image"], done.stderr)
        self.assertEqual(run("data", "check", f"hops:{place}", "--no-images").returncode, 0)

    def test_bad_line(self):
        place = copy("line")
        with open(place / "data/dev.jsonl", "a", encoding="utf-8") as file:
            file.write('{"id": "x"\n')
        done = run("data", "check", f"hops:{place}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("dev.jsonl:13", done.stderr)

    def test_refused(self):
        for arguments in (("check",), ("check", "x"), ("check", "nothing:x"), ("check", f"hops:{made()}", "--split", "x"),
                          ("nothing",), (), ("show",), ("show", f"hops:{made()}", "--preset", "x")):
            done = run("data", *arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
            self.assertTrue(done.stderr)
        done = run("data", "check", "hops:/nowhere")
        self.assertEqual((done.returncode, done.stderr), (1, "tenebra: /nowhere: is not a directory\n"))  # once, not for each split
        self.assertEqual(done.stdout.count("CANNOT BE READ"), 3)
        self.assertEqual(run("data", "check", "m3cot:" + str(WORK)).stderr.count("holds no "), 3)  # of each split another file
        for command, name in ((("make",), "hopps"), (("check",), "hopps:x"), (("show",), "hopps:x")):
            done = run("data", *command, name, *(("y",) if command == ("make",) else ()))
            self.assertEqual(done.returncode, 2)
            self.assertIn("did you mean 'hops'?", done.stderr)
        self.assertEqual(run("data", "show", "hops:/nowhere").returncode, 1)


class Show(Case):
    def test_as_json(self):
        row = rows(made(), "train")[3]
        done = run("data", "show", f"hops:{made()}", "--ids", row["id"], "--json", "--groups", 0)
        self.assertEqual(done.returncode, 0, done.stderr)
        shown = json.loads(done.stdout)
        self.assertEqual(shown["options"], row["choices"])
        self.assertEqual(shown["answer"], "Therefore, the answer is " + row["answer"])
        self.assertEqual(shown["label"], row["answer"])
        self.assertEqual("ABCD"[shown["gold"]], row["answer"])
        flat = row["rationale"].replace("\n", " ")
        self.assertEqual(shown["steps"], flat.split(". "))
        self.assertEqual(shown["prompt"], "[Question]:{" + row["question"] + "}\n[Options]:\n" + "\n".join(
            f"({letter}).{{{choice}}}" for letter, choice in zip("ABCD", row["choices"])) + "\nAnswer:\n")

    def test_for_people(self):
        done = run("data", "show", f"hops:{made()}", "--limit", 2, "--preset", "ivtlr-infer")
        self.assertEqual(done.stdout.count("== "), 2)
        self.assertIn("\nA.{", done.stdout)
        self.assertEqual(run("data", "show", f"hops:{made()}", "--ids", "x").returncode, 1)
        only_test = WORK / "only-test.jsonl"
        only_test.write_text('{"question": "a", "answer": "b", "split": "test"}\n')
        for split, empty in (("train", True), ("test", False)):
            done = run("data", "show", f"jsonl:{only_test}", "--split", split)
            self.assertEqual((done.returncode, "has no samples" in done.stderr), (0, empty), done.stderr)

    def test_list(self):
        listed = json.loads(run("data", "list", "--json").stdout)
        names = [one["name"] for one in listed["sets"]]
        self.assertEqual(names, ["easy-vqa", "hops", "m3cot", "jsonl", "scienceqa"])  # as their files are
        self.assertIn("ivtlr-train", [one["name"] for one in listed["presets"]])
        text = run("data", "list").stdout
        for name in names:
            self.assertIn(name, text)

    def test_help(self):
        for part in ("list", "show", "check", "make", "vocab"):
            done = run("data", part, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertTrue(done.stdout.startswith(f"usage: tenebra data {part}"))
            self.assertRegex(done.stdout, rf"example:\n +tenebra data {part}")
            example, options = done.stdout.split("example:")[1], done.stdout.split("example:")[0]
            for word in example.split():
                if word.startswith("-"):
                    self.assertIn(word, options, part)
            self.assert_fails(run("data", part, "--no-such-option"), 2, "--no-such-option")
        for arguments in (("--help",), ("-h",), ("help",)):
            done = run("data", *arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertTrue(done.stdout.startswith("usage: tenebra data"))
        self.assertRegex(run("--help").stdout, r"(?m)^  data +\w")


class Vocab(Case):
    def test_words_are_whole_and_a_model_runs(self):
        output = WORK / "vocab"
        done = run("data", "vocab", f"hops:{made()}", "-o", output, "--size", 600, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        described = json.loads(done.stdout)
        self.assertEqual(described["samples"], 30)
        vocab = json.loads((output / "tokenizer.json").read_text())
        self.assertEqual(len(vocab["model"]["vocab"]) + len(vocab["added_tokens"]), described["tokens"])
        asked = "the red circle points to the blue square."
        ids = json.loads(run("tokenize", "-m", output, "--jsonl", stdin=json.dumps({"text": asked})).stdout)["ids"]
        self.assertEqual(len(ids), 9)
        back = json.loads(run("tokenize", "-m", output, "--jsonl", stdin=json.dumps({"ids": ids})).stdout)
        self.assertEqual(back["text"], asked)
        again = WORK / "vocab-again"
        run("data", "vocab", f"hops:{made()}", "-o", again, "--size", 600)
        self.assertEqual((again / "tokenizer.json").read_bytes(), (output / "tokenizer.json").read_bytes())
        small = WORK / "vocab-small"
        run("data", "vocab", f"hops:{made()}", "-o", small, "--size", 600, "--lowercase")
        same = [json.loads(run("tokenize", "-m", place, "--jsonl", stdin=json.dumps({"text": text})).stdout)["ids"]
                for place in (small, output) for text in (asked, asked.upper())]
        self.assertEqual(same[0], same[1])
        self.assertNotEqual(same[2], same[3])
        self.assertLess(len(json.loads((small / "tokenizer.json").read_text())["model"]["vocab"]), len(vocab["model"]["vocab"]))
        tags = "<tool_call>1 2</tool_call>"
        more = WORK / "vocab-more"
        run("data", "vocab", f"hops:{made()}", "-o", more, "--size", 600, "--text", tags, "--text", "zebras")
        lengths = [[len(json.loads(run("tokenize", "-m", place, "--jsonl", stdin=json.dumps({"text": text})).stdout)["ids"])
                    for text in (tags, "zebras")] for place in (output, more)]
        self.assertGreater(lengths[0][0], 14)
        self.assertLess(lengths[1][0], 12)
        self.assertEqual(lengths[1][1], 1)
        model = WORK / "vocab-model"
        done = run("bench", "--shape", "tiny", "--type", "F32", "--tokenizer", output, "-o", model)
        self.assertEqual(done.returncode, 0, done.stderr)
        picture = made() / rows(made(), "train")[0]["image"]
        done = run("run", "-m", model, "--image", picture, "-p", asked, "-n", 4, "--method", "ivt-lr", "-t", 1)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_refused(self):
        for arguments, code, part in ((("-o", WORK / "v"), 2, "NAME:DIR"), ((f"hops:{made()}",), 2, "-o DIR"),
                                      ((f"hops:{made()}", "-o", WORK / "v", "--size", 260), 2, "273"),
                                      ((f"hops:{made()}", "-o", PICTURE), 1, PICTURE),
                                      ((f"hops:{made()}", "-o", WORK / "v", "--split", "test"), 1, "test.jsonl")):
            done = run("data", "vocab", *arguments)
            self.assertEqual(done.returncode, code, arguments)
            self.assertIn(part, done.stderr)


if __name__ == "__main__":
    main()
