"""Scripts of completion in the shells that are here, and man pages.

    shells.py PROGRAM DATA [TEST ...]

The shells bash, zsh and fish, groff and man are used where they are installed; else the test is skipped, and says so.
"""
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import HANG, PROGRAM, WORK, Case, main, run  # noqa: E402

# What is typed, and words that a shell must offer, and must not.
LINES = (("tenebra ev", {"eval"}, {"run"}),
         ("tenebra run --meth", {"--method"}, {"--messages"}),
         ("tenebra run --method i", {"icot", "ivt-lr", "ivt-lr-words"}, {"direct"}),
         ("tenebra eval table --form m", {"markdown"}, {"text"}),
         ("tenebra eval table --ro", {"--rows"}, {"--form"}),
         ("tenebra data mak", {"make"}, {"show"}),
         ("tenebra data make --wordings u", {"unseen"}, {"seen", "one"}),
         ("tenebra data make h", {"hops"}, {"help", "easy-vqa"}),
         ("tenebra completion ", {"bash", "zsh", "fish"}, {"run"}),
         ("tenebra manual ev", {"eval"}, {"run"}),
         ("tenebra manual eval ta", {"table"}, {"score", "run"}),
         ("tenebra eval --method i", {"icot", "ivt-lr", "ivt-lr-words"}, {"direct"}),
         ("tenebra eval score --scorer str", {"strict"}, {"bracket"}),
         ("tenebra eval table --scorer b", {"bracket"}, {"strict"}))


def commands():
    """Names of all commands and parts, as help lists them."""
    names = re.findall(r"(?m)^  (\w+) +\w", run("--help").stdout)
    for command in ("eval", "data"):
        parts = run(command, "--help").stdout.split("parts:")[1].split("\n\n")[0]
        names += [f"{command} {part}" for part in re.findall(r"(?m)^  (\w+) +\w", parts)]
    return names


def options(command):
    return set(re.findall(r"(?m)^ .{5}--([a-z0-9-]+)", run(*command.split(), "--help").stdout)) - {"help"}


class Completion(Case):
    def script(self, shell):
        if shutil.which(shell) is None:
            self.skipTest(f"there is no {shell} here")
        done = run("completion", shell)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def compare(self, line, offered, wanted, unwanted):
        self.assertTrue(wanted <= offered, f"{line!r}: {wanted - offered} are missing of {offered}")
        self.assertFalse(unwanted & offered, f"{line!r}: {offered}")

    def test_bash(self):
        script = self.script("bash") + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); _tenebra; printf "%s\\n" "${COMPREPLY[@]}"\n'
        for line, wanted, unwanted in LINES:
            done = subprocess.run(["bash", "-c", script, "bash", *line.split(" ")], capture_output=True, text=True, timeout=HANG,
                                  check=False)
            self.assertEqual(done.stderr, "")
            self.compare(line, set(done.stdout.split()), wanted, unwanted)

    def test_bash_offers_every_option(self):
        script = self.script("bash") + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); _tenebra; printf "%s\\n" "${COMPREPLY[@]}"\n'
        for command in commands():
            done = subprocess.run(["bash", "-c", script, "bash", "tenebra", *command.split(), "--"], capture_output=True, text=True,
                                  timeout=HANG, check=False)
            known = {word[2:] for word in done.stdout.split()} - {"help"}
            if command != "data": # has parts only
                self.assertEqual(known, options(command), command)

    def test_fish(self):
        path = WORK / "tenebra.fish"
        path.write_text(self.script("fish"), encoding="utf-8")
        for line, wanted, unwanted in LINES:
            done = subprocess.run(["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"], capture_output=True, text=True,
                                  timeout=HANG, check=False, env={**os.environ, "HOME": str(WORK)})
            self.assertEqual(done.stderr, "")
            self.compare(line, {offer.split("\t")[0] for offer in done.stdout.splitlines()}, wanted, unwanted)

    def test_zsh(self):
        folder = WORK / "zsh"
        folder.mkdir(exist_ok=True)
        (folder / "_tenebra").write_text(self.script("zsh"), encoding="utf-8")
        for line, wanted, unwanted in LINES:
            shown = self.type_into_zsh(folder, line)
            self.compare(line, set(re.findall(r"[a-z-]+", shown)), wanted, unwanted)

    def type_into_zsh(self, folder, line):
        """What zsh has on the screen after the line and a tab."""
        process, terminal = pty.fork()
        if process == 0:
            os.environ.update(TERM="dumb", HOME=str(WORK))
            os.execvp("zsh", ["zsh", "-f", "-i"])
        try:
            os.write(terminal, f"PS1='rea''dy> '; fpath=({folder} $fpath); autoload -U compinit; compinit -D -u\n".encode())
            self.read_until(terminal, r"\bready> $")
            os.write(terminal, line.encode() + b"\t")
            return self.read_until(terminal, None)
        finally:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            os.close(terminal)

    def read_until(self, terminal, end):
        """Reads until the text ends so, or, without an end, until nothing more comes."""
        shown, limit = "", time.monotonic() + HANG
        while time.monotonic() < limit:
            ready, _, _ = select.select([terminal], [], [], 3 if end is None else 0.2)
            if ready:
                shown += os.read(terminal, 65536).decode(errors="replace").replace("\r", "").replace("\x1b[?2004h", "")
            if (end is None and not ready) or (end is not None and re.search(end, shown)):
                return shown
        raise AssertionError(f"zsh shows {shown!r}")

    def test_other_shells_are_refused(self):
        for arguments in ((), ("csh",), ("bash", "zsh")):
            done = run("completion", *arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("bash, zsh or fish", done.stderr)


class Manual(Case):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(WORK / "man")
        cls.folder.mkdir(exist_ok=True)
        cls.done = run("manual", "-o", cls.folder)

    def test_a_page_for_every_command(self):
        self.assertEqual((self.done.returncode, self.done.stdout, self.done.stderr), (0, "", ""))
        wanted = {"tenebra.1"} | {f"tenebra-{name.replace(' ', '-')}.1" for name in commands()}
        self.assertEqual({path.name for path in self.folder.iterdir()}, wanted)
        for name in commands():
            page = (self.folder / f"tenebra-{name.replace(' ', '-')}.1").read_text(encoding="utf-8")
            self.assertEqual(run("manual", *name.split()).stdout, page)
            if name != "data":
                shown = {option.replace("\\", "") for option in re.findall(r"\\fB\\-\\-([a-z0-9\\-]+)\\fR", page)}
                self.assertEqual(shown, options(name), name)

    def test_pages_render_without_warnings(self):
        for tool in (["groff", "-man", "-ww", "-Tutf8"], ["man", "--warnings", "-l"]):
            if shutil.which(tool[0]) is None:
                self.skipTest(f"there is no {tool[0]} here")
            for page in sorted(self.folder.iterdir()):
                done = subprocess.run([*tool, page], capture_output=True, text=True, timeout=HANG, check=False,
                                      env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFOPT": "-ww", "MANPAGER": "cat"})
                self.assertEqual((done.returncode, done.stderr), (0, ""), page.name)
                self.assertIn("DESCRIPTION" if page.name != "tenebra.1" else "COMMANDS", re.sub(".\b", "", done.stdout))

    def test_a_damaged_page_is_seen(self):
        """Negative control of the check above: an unknown request is a warning."""
        if shutil.which("groff") is None:
            self.skipTest("there is no groff here")
        done = subprocess.run(["groff", "-man", "-ww", "-Tutf8"], input=".TH X 1\n.SH NAME\nx\n.nonsense\n", capture_output=True, text=True,
                              timeout=HANG, check=False)
        self.assertIn("nonsense", done.stderr)

    def test_unknown_commands_are_refused(self):
        done = run("manual", "evla")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("did you mean 'eval'", done.stderr)


if __name__ == "__main__":
    main()
