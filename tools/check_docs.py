#!/usr/bin/env python3
"""Checks what documents name.

    tools/check_docs.py PROGRAM      README.md, CONTRIBUTING.md and docs/*.md of the repository, against the program `tenebra`

Errors (exit code 1): a link to a file that does not exist; a test (`unit/a/b.c`, `unit.a.b`) or another path of the repository that does not
exist; an option of a `tenebra COMMAND` in a code block that the command's --help does not list.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
TEST = re.compile(r"`((?:unit|golden|property|grad|fuzz|e2e|package)/[\w/]+\.(?:c|py|sh))`")
CTEST = re.compile(r"`((?:unit|golden|property|grad|fuzz|e2e)\.[a-z0-9_]+(?:\.[a-z0-9_]+)?)`")
SOURCE = re.compile(r"`((?:src|tests|tools|docs|bench|examples|experiments|include)/[\w./-]+\.\w+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
COMMAND = re.compile(r"^(?:\$ )?(?:\S+/)?tenebra ([a-z]+(?: [a-z]+)?)")


def commands(text):
    """Yields the `tenebra` commands of code blocks, with continued lines joined; what follows a pipe is another command."""
    inside = False
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside or line.startswith("    "):
            for part in re.split(r"\s(?:\||&&|;)\s", re.sub(r"\s#\s.*", "", line)):
                yield part.strip()


def options_of(program, words, known={}):
    """The options that `tenebra WORDS --help` lists, or those of its first word if there is no such subcommand."""
    if words not in known:
        run = subprocess.run([program, *words.split(), "--help"], capture_output=True, text=True, check=False)
        text = run.stdout if run.returncode == 0 else ""
        known[words] = set(OPTION.findall(text))
    return known[words]


def check(path, program):
    text = path.read_text(encoding="utf-8")
    for target in LINK.findall(text):
        if not target.startswith(("http:", "https:", "mailto:")) and not (path.parent / target).exists():
            yield f"links to {target}, which does not exist"
    for name in TEST.findall(text):
        if not (ROOT / "tests" / name).exists():
            yield f"names the test {name}, which does not exist"
    for name in CTEST.findall(text):
        if not list((ROOT / "tests").glob(name.replace(".", "/") + ".*")):
            yield f"names the test {name}, which does not exist"
    for name in SOURCE.findall(text):
        if "*" not in name and not (ROOT / name).exists():
            yield f"names {name}, which does not exist"
    for line in commands(text):
        found = COMMAND.match(line)
        if not found:
            continue
        words = found.group(1)
        listed = options_of(program, words) or options_of(program, words.split()[0])
        for option in OPTION.findall(re.sub(r"\"[^\"]*\"|'[^']*'", "", line)):
            if option not in listed and option != "--help":
                yield f"uses {option}, which `tenebra {words}` does not have: {line}"


def main(arguments):
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        print(__doc__.strip(), file=sys.stderr)
        return 2
    errors = [f"{path.relative_to(ROOT)}: {error}"
              for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
              for error in check(path, arguments[0])]
    for error in errors:
        print(error)
    print(f"check_docs: {len(errors)} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
