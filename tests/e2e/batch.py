"""tenebra run --jsonl: a request a line, an answer a line.

    batch.py PROGRAM DATA [TEST ...]
"""
import json
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import (HANG, OTHER_PICTURE, PICTURE, PROGRAM, WORK, Case, ask_json, environment, main, make_model, run)  # noqa: E402

COMMAND = ("run", "--jsonl", "-n", 6, "--image-size", "112x112", "-t", 1)


def batch(lines, *more, model=None):
    """The finished process, and its answers."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    done = run(*COMMAND, "-m", model or make_model("model"), *more, stdin=text)
    return done, [json.loads(line) for line in done.stdout.splitlines()]


class Answers(Case):
    def test_equal_those_of_single_runs(self):
        """Each line as the same options on the command line."""
        turns = [{"role": "user", "content": [{"type": "image", "image": PICTURE}, {"type": "text", "text": "One?"}]},
                 {"role": "assistant", "content": "A ring."}, {"role": "user", "content": "And?"}]
        path = WORK / "turns.json"
        path.write_text(json.dumps(turns), encoding="utf-8")
        cases = [
            ({"prompt": "Hi", "id": "first"}, ("-p", "Hi")),
            ({"prompt": "Hi", "images": [PICTURE, OTHER_PICTURE], "choices": ["a", "b"]},
             ("-p", "Hi", "--image", PICTURE, "--image", OTHER_PICTURE, "--choice", "a", "--choice", "b")),
            ({"prompt": "Hi", "images": PICTURE, "choices": ["a", "b"], "preset": "plain", "system": "Be brief."},
             ("-p", "Hi", "--image", PICTURE, "--choice", "a", "--choice", "b", "--preset", "plain", "--system", "Be brief.")),
            ({"messages": turns, "method": "ivt-lr", "settings": {"n-latent": 2, "k-select": "3", "order": "text-first"}},
             ("--messages", path, "--method", "ivt-lr", "--n-latent", 2, "--k-select", 3, "--order", "text-first")),
            ({"prompt": "Hi", "temperature": 1.5, "top_k": 50, "top_p": 0.9, "seed": 9007199254740993, "max_tokens": 9},
             ("-p", "Hi", "--temp", 1.5, "--top-k", 50, "--top-p", 0.9, "--seed", 9007199254740993, "-n", 9)),
            ({"prompt": "Hi", "images": [PICTURE], "image_size": "84x56", "lens": 2, "method": "coconut", "positions": "mrope",
              "scores": True, "answer_turn": True},
             ("-p", "Hi", "--image", PICTURE, "--image-size", "84x56", "--lens", 2, "--method", "coconut", "--positions", "mrope",
              "--scores", "--answer-turn")),
        ]
        done, answers = batch([line for line, _ in cases], "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([answer["line"] for answer in answers], [1, 2, 3, 4, 5, 6])
        self.assertEqual(answers[0]["id"], "first")
        for answer, (_, options) in zip(answers, cases):
            single = ask_json(*options)
            for key in ("tokens", "answer", "method", "settings", "positions", "sampling", "finish"):
                self.assertEqual(answer[key], single[key], options)
            self.assertEqual([step["picks"] for step in answer["steps"]], [step["picks"] for step in single["steps"]])
            self.assertEqual([p["prompt"] for p in answer["passes"]], [p["prompt"] for p in single["passes"]])

    def test_short_form(self):
        done, answers = batch([{"prompt": "Hi", "id": {"any": [1]}}, {"prompt": "Hi"}])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(set(answers[0]), {"line", "id", "answer", "finish", "method"})
        self.assertEqual(answers[0]["id"], {"any": [1]})
        self.assertEqual(set(answers[1]), {"line", "answer", "finish", "method"})

    def test_one_session(self):
        """Pictures and rows of earlier lines are not computed again, and the answer does not change by it."""
        line = {"prompt": "What is it?", "images": [PICTURE]}
        done, answers = batch([line, line, {**line, "prompt": "What else?"}], "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        counts = [answer["counts"] for answer in answers]
        self.assertEqual([count["vision_cached"] for count in counts], [0, 1, 1])
        self.assertEqual(counts[0]["prompt_reused"], 0)
        self.assertEqual(counts[1]["prompt_reused"], counts[1]["prompt"] - 1)
        self.assertTrue(16 < counts[2]["prompt_reused"] < counts[2]["prompt"] - 1)
        self.assertEqual(answers[0]["tokens"], answers[1]["tokens"])

    def test_options_are_defaults(self):
        done, answers = batch([{"prompt": "Hi"}, {"prompt": "Hi", "max_tokens": 2, "seed": 5, "method": "direct"},
                               {"prompt": "Hi", "settings": {"n-latent": 1}}, {"prompt": "Hi"}],
                              "--json", "--method", "coconut", "--n-latent", 3, "--seed", 4, "-n", 3)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([answer["settings"].get("n-latent") for answer in answers], [3, None, 1, 3])
        self.assertEqual([answer["sampling"]["seed"] for answer in answers], [4, 5, 4, 4])
        self.assertTrue(all(answer["counts"]["generated"] <= most for answer, most in zip(answers, (3, 2, 3, 3))))
        notes = [line for line in done.stderr.splitlines() if line.startswith("note")]
        self.assertEqual(notes[1:], ["note: line 2: not used, because decoding is greedy (--temp is 0): --seed"])
        self.assertEqual(len(notes), 2)  # the other is that of the method, which is printed once

    def test_each_line_is_answered_at_once(self):
        with subprocess.Popen([PROGRAM, *map(str, COMMAND), "-m", make_model("model")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env=environment()) as process:
            for number in (1, 2):
                process.stdin.write(b'{"prompt": "Hi"}\n')
                process.stdin.flush()
                self.assertEqual(json.loads(process.stdout.readline())["line"], number)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(HANG), 1)


class Mistakes(Case):
    def test_bad_lines(self):
        """Each gets an error with its number; the other lines are answered; the exit code reports the failure."""
        bad = [
            ("nonsense", "JSON"), ("[1]", "object"), ({}, "prompt"), ({"prompt": "a", "messages": []}, "either"),
            ({"prompt": "a", "imagse": "x"}, "did you mean 'images'?"), ({"prompt": 3}, "prompt"), ({"prompt": "a", "images": [3]}, "images"),
            ({"prompt": "a", "images": ["/nowhere.png"]}, "cannot be opened"), ({"prompt": "a", "choices": ["x"] * 27}, "26"),
            ({"prompt": "a", "choices": ["x"]}, "at least two"), ({"prompt": " "}, "is empty"),
            ({"prompt": "a", "preset": "wrods"}, "did you mean 'words'?"), ({"prompt": "a", "method": "ivtlr"}, "did you mean 'ivt-lr'?"),
            ({"prompt": "a", "method": "ivt-lr", "settings": {"k-selct": 2}}, "did you mean 'k-select'?"),
            ({"prompt": "a", "method": "ivt-lr", "settings": {"k-select": "x"}}, "whole number"),
            ({"prompt": "a", "method": "ivt-lr", "settings": {"k-select": 1.5}}, "whole number"), ({"prompt": "a", "settings": []}, "settings"),
            ({"prompt": "a", "max_tokens": 0}, "max_tokens"), ({"prompt": "a", "temperature": -1}, "temperature"),
            ({"prompt": "a", "seed": -1}, "seed"), ({"prompt": "a", "seed": 1.5}, "seed"),
            ({"prompt": "a", "seed": 2 ** 63}, "seed"), ({"prompt": "a", "seed": 1e19}, "seed"), ({"prompt": "a", "id": 2 ** 63}, "string"),
            ({"prompt": "a", "id": 2 ** 80 + 1}, "string"), ({"prompt": "a", "image_size": "3"}, "image_size"),
            ({"prompt": "a", "stop": ""}, "stop"), ({"prompt": "a", "positions": "spiral"}, "spiral"),
            ({"messages": [{"role": "user", "content": "a", "name": "b"}]}, "name"), ({"messages": [], "id": 8}, "list"),
            ({"messages": [{"role": "user", "content": "a"}], "images": [PICTURE]}, "images"), ('{"prompt": "a\\u0000b"}', "U+0000"),
        ]
        done, answers = batch(["", *(line for line, _ in bad), {"prompt": "Hi", "id": "good"}])
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(answers), len(bad) + 1)
        for number, ((line, word), answer) in enumerate(zip(bad, answers)):
            self.assertEqual((answer["line"], answer["error"]["line"]), (number + 2, number + 2), (line, answer))
            self.assertIn(word, answer["error"]["where"] + answer["error"]["sentence"], (line, answer))
            self.assertNotIn("answer", answer)
        self.assertIn("(column ", answers[0]["error"]["sentence"])  # not another number of a line
        self.assertEqual(answers[-4]["id"], 8)
        self.assertEqual((answers[-1]["id"], answers[-1]["line"]), ("good", len(bad) + 2))
        self.assertTrue(answers[-1]["finish"])

    def test_options_beside_it(self):
        for options in (("-p", "x"), ("--image", PICTURE), ("--messages", "x"), ("--report", "x.html"), ("--trace",), ("--replay", "x")):
            self.assert_fails(run(*COMMAND, "-m", make_model("model"), *options), 2, "--jsonl")
        self.assert_fails(run(*COMMAND, "-m", WORK / "nowhere", stdin='{"prompt": "a"}\n'), 1, "nowhere")

    def test_a_reader_that_leaves(self):
        with subprocess.Popen([PROGRAM, *map(str, COMMAND), "-m", make_model("model")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=environment()) as process:
            process.stdout.close()
            process.stdin.write(b'{"prompt": "Hi"}\n' * 3)
            process.stdin.close()
            self.assertEqual((process.stderr.read(), process.wait(HANG)), (b"", 1))


if __name__ == "__main__":
    main()
