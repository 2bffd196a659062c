"""What the end-to-end tests share: the program, a small random model, and running the one on the other.

Tests are called with the path of the program and that of the test data. Plain Python, no packages.
"""
import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM, DATA = sys.argv[1], Path(sys.argv[2])
PICTURE, OTHER_PICTURE = str(DATA / "image/rgb8.png"), str(DATA / "image/444.jpg")
TOKENIZER = str(DATA / "tokenizer-small")
HANG = 300  # seconds after which a program counts as hanging; no test depends on speed

WORK = Path(tempfile.mkdtemp(prefix="tenebra-e2e-"))
atexit.register(shutil.rmtree, WORK, True)


def environment(extra=None):
    """The caller's environment without any option of the program in it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TENEBRA_")}
    clean["LC_ALL"] = "C"
    clean.update(extra or {})
    return clean


def run(*arguments, stdin=None, env=None, **more):
    """The finished process with text in .stdout and .stderr; stdin: text, or nothing to read."""
    return subprocess.run([PROGRAM, *map(str, arguments)], input=stdin if stdin is not None else "", encoding="utf-8",
                          stdout=more.pop("stdout", subprocess.PIPE), stderr=more.pop("stderr", subprocess.PIPE),
                          env=environment(env), timeout=HANG, check=False, **more)


def make_model(name, seed=7):
    """A random model of shape tiny with the small tokenizer, made once a name."""
    directory = WORK / name
    if not directory.exists():
        done = run("bench", "--shape", "tiny", "--type", "F32", "--seed", seed, "--tokenizer", TOKENIZER, "-o", directory)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
    return str(directory)


def ask(*arguments, model=None, **more):
    """`tenebra run` on the usual model with a few tokens and small pictures."""
    return run("run", "-m", model or make_model("model"), "-n", 6, "--image-size", "112x112", "-t", 1, *arguments, **more)


def ask_json(*arguments, **more):
    """The object that --json prints."""
    done = ask("--json", *arguments, **more)
    if done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


class Case(unittest.TestCase):
    def assert_fails(self, done, code, *words):
        """Checks the exit code, an empty stdout, and a message of one or two lines that contains the words."""
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stdout or "", "")
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertRegex(done.stderr, r"\A(note [^\n]*\n)?tenebra")
        self.assertLessEqual(done.stderr.count("\n"), 2, done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)


def main():
    unittest.main(verbosity=2, argv=[sys.argv[0], *sys.argv[3:]])
