#!/usr/bin/env python3
"""Writes tests/data/default/transcripts.json: what the default model answers to a few questions, under each method.

    tools/make_default_transcripts.py PROGRAM HOPS_DIRECTORY OUTPUT_DIRECTORY

HOPS_DIRECTORY is a set of `tenebra data make hops`; of its test questions the first of each topic is taken, with its picture. The
reference kernels answer, so that the text is the same on every machine."""
import argparse
import json
import shutil
import subprocess
from pathlib import Path

METHODS = ("direct", "cot", "mmcot", "ccot", "scaffold", "icot", "cof", "coconut", "ivt-lr")


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("hops", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    chosen = {}
    for row in read(options.hops / "data/test.jsonl"):
        chosen.setdefault(row["topic"], row)
    options.output.mkdir(parents=True, exist_ok=True)
    cases = []
    for topic in sorted(chosen):
        row = chosen[topic]
        picture = options.output / f"{topic}.png"
        shutil.copyfile(options.hops / row["image"], picture)
        choices = [word for choice in row["choices"] for word in ("--choice", choice)]
        case = {"picture": picture.name, "question": row["question"], "choices": row["choices"],
                "right": row["choices"][ord(row["answer"]) - ord("A")], "answers": {}}
        for method in METHODS:
            done = subprocess.run([options.program, "run", "--image", picture, "-p", row["question"], *choices, "--json", "-n", "32",
                                   "--method", method, "--kernels", "reference"], check=True, capture_output=True, text=True)
            case["answers"][method] = json.loads(done.stdout)["answer"]
        cases.append(case)
    (options.output / "transcripts.json").write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
