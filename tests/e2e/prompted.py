"""Methods that reason in words, from outside: prompts, passes and accounts of `tenebra run` and `tenebra eval`, solved
examples from files, the turn that asks for an option, adapters of passes.

    prompted.py PROGRAM DATA [TEST ...]
"""
import json
import os
import shutil
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import OTHER_PICTURE, PICTURE, WORK, Case, ask, ask_json, main, make_model, run  # noqa: E402

VIEW = "<|vision_start|><|image_pad|><|vision_end|>"
USER, REPLY = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
QUESTION = "What is green?\nA) a hat\nB) a cup"
ASK = ("--image", PICTURE, "-p", QUESTION + "\nAnswer:")
SOLVED = {"image": os.path.basename(OTHER_PICTURE), "question": "What is red?", "options": ["a ring", "a box"], "answer": "B",
          "rationale": "First. Then.", "scene_graph": {"objects": ["box"]}}
METHODS = "mmcot,ccot,scaffold"
QUESTIONS = 3


def write_example(name="example.json", **changes):
    """The solved question in a file, with its image in the same folder."""
    folder = WORK / "examples"
    folder.mkdir(exist_ok=True)
    picture = folder / SOLVED["image"]
    if not picture.exists():
        shutil.copy(OTHER_PICTURE, picture)
    path = folder / name
    path.write_text(json.dumps({key: value for key, value in {**SOLVED, **changes}.items() if value is not None}))
    return path


def check_account(case, trace):
    """Rows that ran: those of each prompt that were not known, and all tokens but the last of each reply."""
    rows = sum(p["prompt_tokens"] - p["reused"] + p["generated"] - 1 for p in trace["passes"])
    counts = trace["counts"]
    case.assertEqual(counts["positions_computed"], rows)
    case.assertEqual(counts["passes"], len(trace["passes"]))
    case.assertEqual(counts["generated"], sum(p["generated"] for p in trace["passes"]))
    case.assertEqual(counts["ar_steps"], counts["generated"] + counts["latent"])
    case.assertEqual(trace["answer"], trace["passes"][-1]["text"])


class Run(Case):
    def test_rationale_then_answer(self):
        trace = ask_json(*ASK, "--method", "mmcot", "--rationale-tokens", 4, "--answer-tokens", 3)
        first, second = trace["passes"]
        self.assertEqual(first["prompt"], SYSTEM + USER + VIEW + QUESTION + "\nSolution:" + REPLY)
        rationale = " ".join(first["text"].split())
        self.assertEqual(second["prompt"], SYSTEM + USER + VIEW + QUESTION + f"\nSolution: {rationale}\nAnswer:" + REPLY)
        self.assertTrue(first["generated"] <= 4 and second["generated"] <= 3)
        self.assertTrue(16 < second["reused"] < first["prompt_tokens"])
        check_account(self, trace)
        (only,) = ask_json(*ASK, "--method", "mmcot", "--passes", 1)["passes"]
        self.assertEqual(only["prompt"], first["prompt"])

    def test_scene_graph_then_answer(self):
        trace = ask_json(*ASK, "--method", "ccot", "--graph-tokens", 5)
        first, second = trace["passes"]
        self.assertTrue(first["prompt"].startswith(SYSTEM + USER + VIEW + QUESTION + "\nWrite a scene graph in JSON"))
        self.assertTrue(first["prompt"].endswith("\nScene Graph:" + REPLY))
        self.assertLessEqual(first["generated"], 5)
        self.assertTrue(second["prompt"].startswith(SYSTEM + USER + VIEW + "Scene Graph: " + first["text"].strip() + "\n\n"))
        self.assertIn(QUESTION + "\nAnswer with the letter", second["prompt"])
        self.assertTrue(0 < second["reused"] < second["prompt_tokens"])
        check_account(self, trace)

    def test_scene_graph_ends_where_it_closes(self):
        ids = json.loads(run("tokenize", "-m", make_model("model"), "--jsonl",
                             stdin=json.dumps({"text": ' {"a": [{}]} and {"b": 1}'}) + "\n").stdout)["ids"]
        path = WORK / "graph.json"
        path.write_text(json.dumps(ids))
        for close, text in (("on", ' {"a": [{}]}'), ("off", ' {"a": [{}]} and {"b": 1}')):
            trace = ask_json(*ASK, "--method", "ccot", "--replay", path, "-n", len(ids), "--close-json", close)
            self.assertEqual(trace["passes"][0]["text"], text)
            self.assertIn("Scene Graph: " + text.strip() + "\n\n", trace["passes"][1]["prompt"])

    def test_dots(self):
        both, alone = (ask_json(*ASK, "--method", "scaffold", "--images", images) for images in ("both", "overlay"))
        plain = ask_json(*ASK)
        self.assertEqual([trace["counts"]["image"] for trace in (both, alone, plain)], [32, 16, 16])
        self.assertEqual(both["passes"][0]["prompt"].count(VIEW), 2)
        self.assertIn("6 x 6 dots", both["passes"][0]["prompt"])
        self.assertIn("[[answer]]", both["passes"][0]["prompt"])
        self.assertEqual(both["counts"]["vision_cached"], 0)  # the second picture has other pixels
        twice = ask_json(*ASK, "--image", PICTURE)
        self.assertEqual(twice["counts"]["vision_cached"], 1)
        check_account(self, both)

    def test_only_the_answer_goes_to_stdout(self):
        arguments = (*ASK, "--method", "mmcot", "--answer-turn")
        trace = ask_json(*arguments)
        self.assertEqual(len(trace["passes"]), 3)
        self.assertEqual(trace["passes"][2]["prompt"], "<|im_end|>\n" + USER + "What is your answer? Say only that." + REPLY)
        self.assertNotIn(VIEW, trace["passes"][2]["prompt"])
        check_account(self, trace)
        done = ask(*arguments, "--trace")
        self.assertEqual(done.stdout, trace["answer"] + "\n")
        for words in ("pass 1 ", "pass 2 ", "pass 3 ", "of them cached"):
            self.assertIn(words, done.stderr)
        self.assertEqual(ask(*arguments).stderr, "")

    def test_examples(self):
        solved = VIEW + "What is red?\nA) a ring\nB) a box\nAnswer:"
        path = write_example()
        trace = ask_json(*ASK, "--example", path)
        self.assertEqual(trace["passes"][0]["prompt"], SYSTEM + USER + solved + REPLY + "Therefore, the answer is B<|im_end|>\n" + USER
                         + VIEW + QUESTION + "\nAnswer:" + REPLY)
        self.assertEqual(trace["counts"]["image"], 32)
        trace = ask_json(*ASK, "--example", path, "--method", "ccot", "-c", 2048)
        self.assertIn('\nScene Graph:' + REPLY + '{"objects": ["box"]}<|im_end|>', trace["passes"][0]["prompt"])
        path = write_example("verbatim.json", prompt="And this one?", image=[os.path.abspath(PICTURE), SOLVED["image"]])
        trace = ask_json(*ASK, "--example", path, "--method", "cot")
        self.assertIn(USER + VIEW + VIEW + "And this one?\nLet's think step by step." + REPLY + "First. Then.\nTherefore",
                      trace["passes"][0]["prompt"])
        path = write_example("open.json", options=None, choices=None, image=None, answer="seven")
        self.assertIn(USER + "What is red?\nAnswer:" + REPLY + "Therefore, the answer is seven<|im_end|>",
                      ask_json(*ASK, "--example", path)["passes"][0]["prompt"])

    def test_examples_that_do_not_fit(self):
        for name, words, changes in (("a", "answer", {"answer": "C"}), ("b", "answer", {"answer": None}),
                                     ("c", "question", {"question": None}), ("d", "options", {"options": "a"}),
                                     ("e", "options", {"options": [1]}), ("f", "image", {"image": 3}),
                                     ("g", "absent.png", {"image": "absent.png"}), ("h", "rationale", {"rationale": 5})):
            self.assert_fails(ask(*ASK, "--example", write_example(name + ".json", **changes)), 1, words)
        path = write_example()
        self.assert_fails(ask(*ASK, "--example", path, "--method", "ivt-lr"), 2, "example", "ivt-lr")
        self.assert_fails(ask(*ASK, "--example", write_example("i.json", scene_graph=None), "--method", "ccot"), 2, "scene graph")
        self.assert_fails(ask(*ASK, "--example", WORK / "none.json"), 1, "none.json")
        path.with_name("list.json").write_text("[]")
        self.assert_fails(ask(*ASK, "--example", path.with_name("list.json")), 1, "object")

    def test_adapters_of_passes_are_checked(self):
        for value in ("x", "0:x", "-1:x", "1:", "1001:x", "99999999999999999999:x"):
            self.assert_fails(ask(*ASK, "--lora-pass", value), 2, "lora-pass", "N:DIR")
        self.assert_fails(ask(*ASK, "--lora-pass", "2:/nowhere"), 1, "/nowhere")

    def test_settings_are_checked(self):
        for method, setting, value in (("mmcot", "passes", "3"), ("ccot", "graph-tokens", "0"), ("scaffold", "dot-rows", "100"),
                                       ("scaffold", "images", "none"), ("direct", "passes", "2")):
            self.assert_fails(ask(*ASK, "--method", method, f"--{setting}", value), 2, setting)

    def test_help_names_all(self):
        done = run("run", "--help")
        self.assertEqual(done.returncode, 0, done.stderr)
        for words in ("|mmcot|scaffold", "--graph-tokens", "[ccot]", "--dot-rows", "--answer-turn", "--lora-pass", "--example"):
            self.assertIn(words, done.stdout)


def make_adapter():
    """A PEFT adapter of the decoder's value projections, with numbers from a fixed sequence."""
    folder = WORK / "adapter"
    if folder.exists():
        return folder
    folder.mkdir()
    tensors, header, data, state = json.loads(run("inspect", "-m", make_model("model"), "--json").stdout)["tensors"], {}, b"", 1
    for tensor in (t for t in tensors if t["name"].endswith("v_proj.weight")):
        rows, columns = tensor["shape"]
        for part, shape in (("A", [2, columns]), ("B", [rows, 2])):
            values = []
            for _ in range(shape[0] * shape[1]):
                state = state * 48271 % 2147483647
                values.append(state / 2147483647 - 0.5)
            name = "base_model.model." + tensor["name"].replace(".weight", f".lora_{part}.weight")
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(values)]}
            data += struct.pack(f"<{len(values)}f", *values)
    text = json.dumps(header).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 20, "target_modules": ["v_proj"]}))
    return folder


def make_data():
    directory = WORK / "looks"
    if not directory.exists():
        done = run("data", "make", "hops", directory, "--train", 2, "--dev", 2, "--test", QUESTIONS, "--seed", 5)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
    return directory


def evaluate(output, *more, methods=METHODS):
    return run("eval", "-m", make_model("model"), "--data", f"hops:{make_data()}", "--method", methods, "--image-size", "112x112",
               "-n", 5, "-t", 1, "-o", output, *more)


def read_file(path):
    """The manifest, and records by question and method without what depends on the clock, and its digest."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for row in lines[1:]:
        row.pop("ms")
        row.pop("digest")
    return lines[0], {(row["n"], row["method"]): row for row in lines[1:]}


class Eval(Case):
    def test_records(self):
        done = evaluate(WORK / "words.jsonl")
        self.assertEqual(done.returncode, 0, done.stderr)
        manifest, rows = read_file(WORK / "words.jsonl")
        self.assertEqual(manifest["methods"][1]["settings"]["graph-tokens"], "256")
        self.assertNotIn("example", manifest)
        self.assertEqual(len(rows), QUESTIONS * 3)
        for n in range(QUESTIONS):
            for method, passes in (("mmcot", 2), ("ccot", 2)):
                row = rows[n, method]
                self.assertEqual((row["passes"], len(row["turns"])), (passes, passes))
                self.assertEqual(row["text"], row["turns"][-1]["text"])
                self.assertEqual(row["tokens"]["sampled"], sum(turn["sampled"] for turn in row["turns"]))
                self.assertEqual(row["ar_steps"], row["tokens"]["sampled"])
                self.assertEqual(row["positions_computed"],
                                 sum(turn["prompt_tokens"] - turn["reused"] + turn["sampled"] - 1 for turn in row["turns"]))
                self.assertGreater(row["turns"][1]["reused"], 16)
                self.assertEqual(row["image_tokens"], 16)
            row = rows[n, "scaffold"]
            self.assertNotIn("turns", row)
            self.assertEqual((row["passes"], row["image_tokens"]), (1, 32))
            self.assertEqual(row["positions_computed"], row["prompt_tokens"] + row["tokens"]["sampled"] - 1)

    def test_workers_and_variants(self):
        methods = "mmcot:passes=1,ccot:graph-tokens=2,scaffold:images=overlay"
        first, second = WORK / "one.jsonl", WORK / "two.jsonl"
        self.assertEqual(evaluate(first, methods=methods).returncode, 0)
        self.assertEqual(evaluate(second, "--workers", 2, methods=methods).returncode, 0)
        _, rows = read_file(first)
        self.assertEqual(rows, read_file(second)[1])
        self.assertEqual(rows[0, "mmcot:passes=1"]["passes"], 1)
        self.assertLessEqual(rows[0, "ccot:graph-tokens=2"]["turns"][0]["sampled"], 2)
        self.assertEqual(rows[0, "scaffold:images=overlay"]["image_tokens"], 16)

    def test_adapter_of_the_second_pass(self):
        adapter, plain, staged = make_adapter(), WORK / "plain.jsonl", WORK / "staged.jsonl"
        self.assertEqual(evaluate(plain, methods="mmcot").returncode, 0)
        done = evaluate(staged, "--lora-pass", f"2:{adapter}", methods="mmcot")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("is for pass", done.stderr)
        self.assertIn(f"note: {adapter} is for pass 2, but an answer has 1 here: it is not used\n",
                      evaluate(WORK / "unused.jsonl", "--lora-pass", f"2:{adapter}", methods="direct,cot").stderr)
        self.assertNotIn("is for pass", ask(*ASK, "--method", "ccot", "--lora-pass", f"2:{adapter}").stderr)
        self.assertIn(" is for pass 3, but an answer has 2 here", ask(*ASK, "--method", "ccot", "--lora-pass", f"3:{adapter}").stderr)
        self.assertIn(" is for pass 2, but an answer has 1 here", ask(*ASK, "--method", "direct", "--lora-pass", f"2:{adapter}").stderr)
        manifest, rows = read_file(staged)
        self.assertEqual([row["pass"] for row in manifest["adapters"]], [2])
        _, others = read_file(plain)
        for n in range(QUESTIONS):
            (first, second), (other, later) = rows[n, "mmcot"]["turns"], others[n, "mmcot"]["turns"]
            self.assertEqual(first, other)
            self.assertEqual(second["reused"], 0)
            self.assertGreater(later["reused"], 16)
        self.assertNotEqual([rows[n, "mmcot"]["text"] for n in range(QUESTIONS)],
                            [others[n, "mmcot"]["text"] for n in range(QUESTIONS)])
        self.assert_fails(evaluate(staged, "--lora-pass", f"1:{adapter}", methods="mmcot"), 1, "adapters.0.pass")

    def test_example_and_answer_turn(self):
        output = WORK / "turned.jsonl"
        more = ("--example", write_example(), "--answer-turn")
        done = evaluate(output, *more, methods="direct,mmcot,coconut")
        self.assertEqual(done.returncode, 0, done.stderr)
        manifest, rows = read_file(output)
        self.assertTrue(manifest["answer_turn"])
        self.assertEqual(len(manifest["example"]["digest"]), 64)
        self.assertEqual([rows[0, method]["passes"] for method in ("direct", "mmcot", "coconut")], [2, 3, 2])
        # The example's image is in the prompts of methods that show one; a latent method accepts none.
        self.assertEqual([rows[0, method]["image_tokens"] for method in ("direct", "mmcot", "coconut")], [32, 32, 16])
        self.assertEqual(evaluate(output, *more, methods="direct,mmcot,coconut").returncode, 0)
        for changed in (("--example", write_example("other.json", rationale="Other."), "--answer-turn"), more[:2], more[2:]):
            self.assert_fails(evaluate(output, *changed, methods="direct,mmcot,coconut"), 1, "turned.jsonl", "made with other settings")
        self.assert_fails(evaluate(WORK / "none.jsonl", *more, methods="coconut"), 2, "example", "none of the methods")

    def test_options_are_named(self):
        sample = json.loads(run("data", "show", f"hops:{make_data()}", "--split", "test", "--limit", 1, "--json").stdout.splitlines()[0])
        letters = ", ".join(f"({chr(65 + i)})" for i in range(len(sample["options"])))
        output = WORK / "letters.jsonl"
        self.assertEqual(evaluate(output, "--answer-turn", "--limit", 1, methods="direct").returncode, 0)
        row = read_file(output)[1][0, "direct"]
        turn = row["turns"][1]
        text = "<|im_end|>\n" + USER + f"Which of the options {letters} is your answer? Say only its letter." + REPLY
        done = run("tokenize", "-m", make_model("model"), "--jsonl", stdin=json.dumps({"text": text}) + "\n")
        rest = turn["prompt_tokens"] - len(json.loads(done.stdout)["ids"])
        self.assertEqual(rest, row["turns"][0]["finish"] == "length")  # the reply's last token had not run


if __name__ == "__main__":
    main()
