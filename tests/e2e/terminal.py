"""On a terminal: progress never wraps, and nothing of others is obeyed.

    terminal.py PROGRAM DATA [TEST ...]
"""
import json
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import WORK, Case, main, make_model, run  # noqa: E402
from terminal import drawn_lines, run_in_terminal  # noqa: E402

WIDTHS = (20, 60, 80, 100, 200)
HOSTILE = "a\x1b[31m\x9b2J\x07\u202eb"


def hops():
    directory = WORK / "hops"
    if not directory.exists():
        run("data", "make", "hops", directory, "--train", 4, "--dev", 2, "--test", 6, "--seed", 1)
    return f"hops:{directory}"


class Progress(Case):
    def bars(self, output, columns):
        """The lines with progress, all narrower than the terminal."""
        lines = [line for line in drawn_lines(output) if re.search(r"(^|[ \]])\d+/\d+( |$)", line)]
        self.assertTrue(lines, output)
        for line in lines:
            self.assertLess(len(line), columns, line)
        return lines

    def test_a_bar(self):
        for columns in WIDTHS:
            code, output = run_in_terminal("data", "make", "hops", WORK / f"made-{columns}", "--train", 30, "--dev", 0, "--test", 0,
                                           columns=columns)
            self.assertEqual(code, 0, output)
            lines = self.bars(output, columns)
            self.assertIn("30/30", lines[-1])
            if columns >= 60:
                self.assertRegex(lines[-1], r"^train \[#+\] 30/30  0:00 to go$")

    def test_eval(self):
        methods = "direct,cot,coconut:n-latent=1,ivt-lr:n-latent=1:k-select=2"
        for columns in WIDTHS:
            code, output = run_in_terminal("eval", "-m", make_model("model"), "-d", hops(), "--method", methods, "--limit", 2, "-n", 2,
                                           "-t", 1, "--image-size", "56x56", "-o", WORK / f"eval-{columns}.jsonl", columns=columns,
                                           stdout_too=False)
            self.assertEqual(code, 0, output)
            last = self.bars(output, columns)[-1]
            self.assertIn("8/8", last)
            shown = sum(f"{name} " in last for name in ("direct", "cot", "coconut:n-latent=1", "ivt-lr:n..t=1:k-select=2"))
            self.assertEqual(shown, {20: 0, 60: 2, 80: 3, 100: 3, 200: 4}[columns], last)

    def test_train(self):
        for columns in WIDTHS:
            code, output = run_in_terminal("train", "-m", make_model("model"), "-d", hops(), "-o", WORK / f"run-{columns}",
                                           "--set", "num_epochs=1", "--set", "max_latent_stage=0", "--set", "val_samples=2",
                                           "--set", "val_tokens=2", "--set", "image_size=56x56", "-t", 1, columns=columns)
            self.assertEqual(code, 0, output)
            if columns >= 60:
                bars = [line for line in self.bars(output, columns) if line.startswith("[")]
                self.assertTrue(any("loss " in line for line in bars), bars)

    def test_none_where_there_is_no_terminal(self):
        done = run("data", "make", "hops", WORK / "piped", "--train", 3, "--dev", 0, "--test", 0)
        self.assertNotIn("to go", done.stderr)
        self.assertNotIn("\x1b", done.stderr + done.stdout)


class Waiting(Case):
    def test_a_sign_of_life(self):
        """While the model is opened; the line is cleared before anything else is printed."""
        arguments = ("run", "-m", make_model("model"), "-p", "word " * 100, "-n", 1, "-t", 1)
        for columns in (30, 80):
            code, output = run_in_terminal(*arguments, columns=columns)
            self.assertEqual(code, 0, output)
            lines = drawn_lines(output)
            self.assertTrue(lines[1].startswith("loading "), lines[:3])
            self.assertTrue(all(len(line) < columns for line in lines[:-2]), lines)
            before, after = output.split(b"\r\x1b[K", 1)
            self.assertIn(b"loading", before)
            self.assertNotIn(b"loading", after)
        self.assertEqual(run(*arguments[:4], "hi", "-n", 1, "-t", 1).stderr, "")


class Hostile(Case):
    def replay(self):
        """A file of tokens whose text is an escape sequence."""
        text = json.dumps({"text": "x\x1b[31mred\u009b0m\ry"})
        ids = json.loads(run("tokenize", "-m", make_model("model"), "--jsonl", stdin=text + "\n").stdout)["ids"]
        path = WORK / "replay.json"
        path.write_text(json.dumps(ids), encoding="utf-8")
        return path, len(ids)

    def test_answers(self):
        path, count = self.replay()
        arguments = ("run", "-m", make_model("model"), "-p", "hi", "-t", 1, "-n", count, "--replay", path)
        piped = run(*arguments)
        self.assertEqual(piped.stdout, "x\x1b[31mred\u009b0m\ny\n")  # as it is, for the next program (Python reads \r as \n)
        code, output = run_in_terminal(*arguments)
        self.assertEqual(code, 0)
        self.assertEqual(drawn_lines(output)[-2], "x\\u001b[31mred\\u009b0m\\u000dy")
        self.assert_harmless(output)
        for more in (("--json",), ("--trace",), ("-v",)):
            code, output = run_in_terminal(*arguments, *more)
            self.assertEqual(code, 0)
            self.assert_harmless(output)
        self.assertIn("\\u001b[31m", json.loads(run(*arguments, "--json").stdout)["answer"].encode("unicode_escape").decode()
                      .replace("\\x1b", "\\u001b"))

    def assert_harmless(self, output):
        """Nothing but what draws the line of progress."""
        text = output.decode("utf-8").replace("\r\x1b[K", "").replace("\x1b[K", "")
        for active in ("\x1b", "\x9b", "\x07", "\u202e"):
            self.assertNotIn(active, text)

    def test_errors_and_notes(self):
        """Escaped always: logs are looked at on terminals, too."""
        folder = WORK / HOSTILE
        folder.mkdir()
        (folder / "config.json").write_text("{", encoding="utf-8")
        for arguments in ((HOSTILE,), ("run", "--" + HOSTILE), ("run", "-p", "x", "--method", HOSTILE), ("run", "-m", folder, "-p", "x"),
                          ("run", "-p", "x", "--image", HOSTILE), ("eval", "-d", HOSTILE, "--method", HOSTILE), ("inspect", "-m", folder),
                          ("eval", "table", HOSTILE), ("data", HOSTILE), ("train", HOSTILE), ("verify", HOSTILE)):
            done = run(*arguments)
            self.assertNotEqual(done.returncode, 0)
            for active in ("\x1b", "\x9b", "\x07", "\u202e"):
                self.assertNotIn(active, done.stderr, arguments)
            self.assertIn("\\u001b[31m", done.stderr, arguments)

    def test_tables(self):
        """A label of another's result file."""
        output = WORK / "labels.jsonl"
        done = run("eval", "-m", make_model("model"), "-d", hops(), "--method", "direct", "--limit", 2, "-n", 2, "-t", 1,
                   "--image-size", "56x56", "-o", output)
        self.assertEqual(done.returncode, 0, done.stderr)
        for arguments in (("data", "show", hops(), "--limit", 1), ("eval", "table", output), ("inspect", "-m", make_model("model"))):
            code, shown = run_in_terminal(*arguments, columns=200)
            piped = run(*arguments)
            self.assertEqual((code, sorted(shown.decode().split("\n"))), (0, sorted((piped.stdout + piped.stderr).split("\n"))))
        output.write_text(output.read_text(encoding="utf-8").replace("hops:", "ho\\u001b[31mps:"), encoding="utf-8")
        code, shown = run_in_terminal("eval", "table", output, columns=200)
        self.assertNotIn(b"\x1b", shown)


if __name__ == "__main__":
    main()
