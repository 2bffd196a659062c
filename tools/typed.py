#!/usr/bin/env python3
"""Writes sets of the default model's questions as people might type them, one set for each way, and with pictures as they might come.

    tools/typed.py HOPS_DIRECTORY OUTPUT_DIRECTORY

HOPS_DIRECTORY is a set of `tenebra data make hops --families arrows`; its test questions are taken. Ask them with `tenebra eval
--preset verbatim`, those whose name begins with "choice" with `--preset brief`. The answer to "where do I end up" is the object, of
which the rows have the colour alone. Needs Pillow, for JPEG. The table in
docs/default-model.md comes from 240 questions of each way."""
import argparse
import json
import random
import re
from pathlib import Path

from PIL import Image, ImageOps

COLOURS = "red green blue yellow purple cyan orange pink brown grey lilac lime teal navy maroon tan".split()
NUMBERS = dict(zip("one two three four five six".split(), range(1, 7)))
AS_IT_IS = "Follow {n} arrow{s} from the {c} {f}. Which colour is there?"


def listed(before, mark, join, after=""):
    """The question, then its choices; `mark` of the number of a choice."""
    return lambda row: row["question"] + before + join.join(mark(i) + word for i, word in enumerate(row["choices"])) + after


def worded(template):
    def write(row):
        number, colour, shape = re.match(r"Follow (\w+) arrows? from the (\w+) (\w+)\.", row["question"]).groups()
        return template.format(n=number, d=NUMBERS[number], s="" if number == "one" else "s", c=colour, f=shape)
    return write


def american(row):
    return row["question"].replace("colour", "color").replace("grey", "gray")


def large(mark):
    return lambda i: mark % "ABCDEF"[i]


# name: how the question is typed, and how many choices it has (None: those of the set)
WORDINGS = {
    **{f"choice-{count}": (worded(AS_IT_IS), count) for count in (2, 3, 4, 5, 6)},
    "no choices": (worded(AS_IT_IS), None),
    "A. on lines": (listed("\n", large("%s. "), "\n"), 4),
    "(A) on lines": (listed("\n", large("(%s) "), "\n"), 4),
    "a) on lines": (listed("\n", lambda i: "abcdef"[i] + ") ", "\n"), 5),
    "1. on lines": (listed("\n", lambda i: f"{i + 1}. ", "\n"), 3),
    "bare lines": (listed("\n", lambda i: "", "\n"), 4),
    "commas": (listed("\n", lambda i: "", ", "), 6),
    "or": (listed(" ", lambda i: "", " or ", "?"), 2),
    "lower case": (lambda row: row["question"].lower(), None),
    "no punctuation": (lambda row: re.sub("[.?]", "", row["question"]).lower(), None),
    "color, gray": (american, None),
    "digits": (worded("Follow {d} arrow{s} from the {c} {f}. Which colour is there?"), None),
    "new: go along": (worded("Go along {n} arrow{s} from the {c} {f}. Which colour is there?"), None),
    "where do I end up": (worded("Where do I end up if I follow {d} arrow{s} starting at the {c} {f}?"), None),
    "terse": (worded("{c} {f}, {d} arrow{s}, colour?"), None),
    "terser": (worded("{d} arrow{s} from {c} {f}?"), None),
    "new: verbless": (worded("{n} arrow{s}, beginning: {c} {f}. Colour?"), None),
    "new: arrow signs": (worded("{c} {f} -> {d} arrow{s} -> colour"), None),
    "new: polite": (worded("Hi there! Could you please tell me which colour I reach when I follow {n} arrow{s} beginning at the {c} {f}? "
                           "Thank you!"), None),
    "new: hops away": (worded("What colour is {n} hop{s} away from the {c} {f}?"), None),
    "new: start, then move": (worded("Start on the {c} {f}, then move along {n} arrow{s}. What's the colour where you stop?"), None),
    "new: later": (worded("The {c} {f} is where we start. {n} arrow{s} later we are at which colour?"), None),
    "new: capitals": (lambda row: row["question"].upper(), None),
}


def border(width):
    return lambda image, rng: ImageOps.expand(image, width, rng.choice(["white", "black", "grey"]))


def scale(width, height):
    return lambda image, rng: image.resize((width, height), Image.BICUBIC)


def noise(image, rng):
    data = bytes(max(0, min(255, value + round(rng.gauss(0, 10)))) for value in image.tobytes())
    return Image.frombytes("RGB", image.size, data)


# name: what is done to the picture, and the quality of JPEG (None: PNG)
PICTURES = {
    "picture: border of 4": (border(4), None), "picture: border of 8": (border(8), None), "picture: border of 12": (border(12), None),
    "picture: 224 x 224": (scale(224, 224), None), "picture: 448 x 448": (scale(448, 448), None),
    "picture: 90 x 90": (scale(90, 90), None), "picture: 300 x 280": (scale(300, 280), None),
    "picture: JPEG 90": (scale(112, 112), 90), "picture: JPEG 70": (scale(112, 112), 70), "picture: JPEG 50": (scale(112, 112), 50),
    "picture: 448 x 448, JPEG 60": (scale(448, 448), 60), "picture: noise": (noise, None),
    "picture: 2 pixels cut off": (lambda image, rng: image.crop((2, 2, image.width - 2, image.height - 2)), None),
}


def choose(row, count, rng):
    """The right answer among `count` choices."""
    right = row["choices"]["ABCDEF".index(row["answer"])]
    others = [word for word in row["choices"] if word != right]
    more = [word for word in COLOURS if word not in row["choices"] and word not in row["question"]]
    rng.shuffle(more)
    row["choices"] = (others + more)[:count - 1] + [right]
    rng.shuffle(row["choices"])
    row["answer"] = "ABCDEF"[row["choices"].index(right)]


def write(name, rows, source, output, wording, count, picture=None, quality=None):
    place = output / name / "data"
    (place / "images").mkdir(parents=True, exist_ok=True)
    with open(place / "test.jsonl", "w", encoding="utf-8") as file:
        for number, row in enumerate(rows):
            row, rng = dict(row), random.Random(f"{name} {number}")
            if count is not None:
                choose(row, count, rng)
            row["question"] = wording(row)
            if "gray" in name:
                row["choices"] = [word.replace("grey", "gray") for word in row["choices"]]
            image = Image.open(source / row["image"]).convert("RGB")
            if picture is not None:
                image = picture(image, rng)
            row["image"] = f"data/images/{number}." + ("png" if quality is None else "jpg")
            image.save(place.parent / row["image"], **({} if quality is None else {"quality": quality}))
            file.write(json.dumps(row) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hops", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    with open(options.hops / "data/test.jsonl", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for name, (wording, count) in WORDINGS.items():
        write(name, rows, options.hops, options.output, wording, count)
    for name, (picture, quality) in PICTURES.items():
        write(name, rows, options.hops, options.output, worded(AS_IT_IS), None, picture, quality)


if __name__ == "__main__":
    main()
