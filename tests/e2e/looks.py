"""Methods that look again: embeddings fed again at line breaks, and requested regions. Replies come from --replay."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
from program import OTHER_PICTURE, PICTURE, WORK, Case, ask, ask_json, main, make_model, run  # noqa: E402

CALL = '<tool_call>{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [10, 20, 60, 50]}}</tool_call>'
WRONG = '<tool_call>{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [60, 20, 10, 50]}}</tool_call>'
COUNTS = ("prompt", "image", "latent", "injected", "generated", "ar_steps", "ar_steps_injected", "calls", "invalid_calls",
          "positions_computed", "passes", "crops")


def ids_of(text):
    done = run("tokenize", "-m", make_model("model"), "--jsonl", stdin=json.dumps({"text": text}) + "\n")
    return json.loads(done.stdout)["ids"]


def replay(name, *texts):
    """A file with the tokens of the texts one after another; tokens do not extend across their borders."""
    path = WORK / f"{name}.json"
    path.write_text(json.dumps(sum(map(ids_of, texts), [])))
    return str(path)


def replies(name, *texts):
    return replay(name, *(text + "<|im_end|>" for text in texts))


class Looks(Case):
    def test_insertions(self):
        tokens = replay("breaks", "a", "\n", "b", "\n", "c")
        out = ask_json("--image", PICTURE, "-p", "What?", "--method", "icot", "--replay", tokens, "--image-size", "224x224", "-n", 8)
        counts = out["counts"]
        self.assertEqual(out["tokens"][:5], json.loads(Path(tokens).read_text()))
        self.assertEqual([counts[name] for name in COUNTS[1:9]], [64, 0, 54, 8, 8, 62, 0, 0])
        self.assertEqual((counts["passes"], counts["crops"]), (1, 0))
        self.assertEqual(counts["positions_computed"], counts["prompt"] + 54 + 7)
        self.assertEqual([len(step["picks"]) for step in out["steps"]], [16, 16, 16])
        for step in out["steps"]:
            indices = [pick["index"] for pick in step["picks"]]
            self.assertEqual(indices, sorted(set(indices)))
            self.assertIsNone(step["hidden_norm"])
        once = ask_json("--image", PICTURE, "-p", "What?", "--method", "icot", "--replay", tokens, "--image-size", "224x224",
                        "-n", 8, "--sticky", "no")
        self.assertEqual(once["counts"]["injected"], 18)
        self.assertEqual(once["steps"][0]["picks"], out["steps"][0]["picks"])

    def test_dialogue(self):
        tokens = replies("talk", CALL, WRONG, "<answer>B</answer>")
        out = ask_json("--image", PICTURE, "-p", "What?", "--method", "cof", "--replay", tokens, "--bad-call", "error", "-n", 300,
                       "--image-size", "224x224")
        counts = out["counts"]
        self.assertEqual(out["answer"], "<answer>B</answer>")
        self.assertEqual([turn["text"] for turn in out["passes"]], [CALL, WRONG, "<answer>B</answer>"])
        self.assertEqual((counts["passes"], counts["crops"], counts["calls"], counts["invalid_calls"]), (3, 1, 2, 1))
        self.assertEqual(counts["generated"], len(json.loads(Path(tokens).read_text())))
        self.assertEqual(counts["injected"], sum(turn["prompt_tokens"] for turn in out["passes"][1:]))
        self.assertEqual(counts["positions_computed"], counts["prompt"] + counts["injected"] + counts["generated"] - 3)
        self.assertEqual([call["outcome"] for call in out["calls"]], ["shown", "invalid"])
        # 0..72 of 224 columns of an image of 21 columns, 12..57 of 224 rows of 13 rows.
        for seen, expected in zip(out["calls"][0]["rectangle"], (0, 12 * 13 / 224, 72 * 21 / 224, 57 * 13 / 224)):
            self.assertAlmostEqual(seen, expected, places=6)
        self.assertIsNone(out["calls"][1]["rectangle"][0])
        other = ask_json("--image", OTHER_PICTURE, "-p", "What?", "--method", "cof", "--replay", tokens, "--bad-call", "error",
                         "-n", 300, "--image-size", "224x224")
        self.assertNotEqual(other["calls"][0]["rectangle"], out["calls"][0]["rectangle"])

    def test_only_the_answer_is_printed(self):
        tokens = replies("short", CALL, "<answer>B</answer>")
        done = ask("--image", PICTURE, "-p", "What?", "--method", "cof", "--replay", tokens, "-n", 300, "-v")
        self.assertEqual(done.stdout, "<answer>B</answer>\n")
        self.assertIn("trained", done.stderr)
        self.assertIn("calls      1 for regions, 0 of them invalid; 1 images added", done.stderr)
        done = ask("--image", PICTURE, "-p", "What?", "--method", "cof", "--replay", tokens, "-n", 300, "--rounds", 1)
        self.assertEqual((done.returncode, done.stdout), (0, "\n"))

    def test_turn_for_the_answer(self):
        tokens = replies("more", CALL, "<answer>B</answer>", "B")
        out = ask_json("--image", PICTURE, "-p", "What?", "--method", "cof", "--replay", tokens, "-n", 300, "--answer-turn")
        self.assertEqual([turn["text"] for turn in out["passes"]], [CALL, "<answer>B</answer>", "B"])
        self.assertEqual(out["answer"], "B")
        tokens = replay("breaks-and-more", "a", "\n", "b", "\n", "c<|im_end|>", "B<|im_end|>")
        out = ask_json("--image", PICTURE, "-p", "What?", "--method", "icot", "--replay", tokens, "--image-size", "224x224",
                       "--answer-turn", "--sticky", "no")
        self.assertEqual([turn["text"] for turn in out["passes"]], ["a\nb\nc", "B"])
        self.assertEqual(out["counts"]["injected"], 18)

    def test_files_to_replay(self):
        wrong = WORK / "wrong.json"
        for text, word in (("[]", "list"), ('{"tokens": 5}', "list"), ("[1.5]", "token 1"), ("[0, -1]", "token 2"),
                           ("[99999999999]", "token 1"), ("[0,", "JSON")):
            wrong.write_text(text)
            done = ask("-p", "What?", "--replay", wrong)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            if word != "JSON":
                self.assertIn(word, done.stderr)
        wrong.write_text("[5000000]")
        self.assert_fails(ask("-p", "What?", "--replay", wrong), 2, "forced")
        self.assert_fails(ask("-p", "What?", "--replay", WORK / "absent.json"), 1, "absent.json")
        first = ask_json("-p", "What?", "--temp", 5, "--seed", 3)
        wrong.write_text(json.dumps(first))
        self.assertEqual(ask_json("-p", "What?", "--replay", wrong)["tokens"], first["tokens"])
        self.assertNotEqual(ask_json("-p", "What?")["tokens"], first["tokens"])

    def test_evaluation(self):
        data, target = WORK / "data", WORK / "looks.jsonl"
        self.assertEqual(run("data", "make", "hops", data, "--train", 2, "--dev", 2, "--test", 3, "--seed", 5).returncode, 0)
        call = ("eval", "-m", make_model("model"), "--data", f"hops:{data}", "--method", "icot:at-start=yes,cof", "--image-size",
                "112x112", "-n", 5, "-t", 1, "-o", target)
        done = run(*call)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("trained to call"), 1)
        rows = [json.loads(line) for line in target.read_text().splitlines()]
        self.assertEqual(len(rows), 1 + 6)
        for row in rows[1:]:
            again = row["method"].startswith("icot")
            self.assertEqual(row["tokens"]["injected"], 18 if again else 0)
            self.assertEqual(row["ar_steps"], row["tokens"]["sampled"])
            self.assertEqual(row["ar_steps_injected"], row["ar_steps"] + row["tokens"]["injected"])
            self.assertEqual((row["passes"], row["crops"], row["calls"], row["invalid_calls"]), (1, 0, 0, 0))
            self.assertEqual(len(row["steps"]), 1 if again else 0)
            self.assertEqual(row["positions_computed"],
                             row["prompt_tokens"] + row["tokens"]["sampled"] - 1 + row["tokens"]["injected"])
        self.assertNotIn("calls", [table["name"] for table in self.tables(target)])
        rows[2].update(calls=3, invalid_calls=1, crops=2)
        rows[4].update(calls=1, invalid_calls=0, crops=1)
        target.write_text("".join(json.dumps(row) + "\n" for row in rows))
        row, = next(table for table in self.tables(target) if table["name"] == "calls")["rows"]
        self.assertEqual((row[0], row[2], row[4]), ("cof", 4, 1))
        self.assertAlmostEqual(row[1]["value"], 200 / 3)
        self.assertAlmostEqual(row[3]["value"], 25)

    def tables(self, path):
        done = run("eval", "table", path, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["tables"]


main()
