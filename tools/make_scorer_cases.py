#!/usr/bin/env python3
"""Writes tests/data/eval/python.jsonl: what Python makes of odd strings, for the scorers that repeat Python programs.

    tools/make_scorer_cases.py [COUNT [SEED]] > tests/data/eval/python.jsonl

Each line holds a text and what str and re give for it: lower(), strip(), and the answers that the rules of the
published programs find (written anew here from their descriptions, with the regular expressions as the only common part).
What is not found is left out. The test unit.eval.python takes another file as its argument.
"""
import json
import random
import re
import sys
import unicodedata

RANDOM = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 20240611)
OPTIONS = ["red", "Blue bird", "no", "ΟΔΟΣ", "İstanbul straße"]

# Runs that the patterns look for, in pieces that make near misses likely.
WORDS = ["the", "The", "THE", "answer", "Answer", "anſwer", "ANSWER", "is", "İS", "ıs", "iS", "is:", "Answer:", "answer:",
         "anſwer:", "Therefore", "Therefore,", "therefore,", "THEREFORE", "assistant", "Assistant", "aſſıstant",
         "assistant.", "assistants", "assistantß", "assistant_", "The answer is", "the answer is", "Therefore, the answer is",
         "The answer is (", "The answer is (B)", "The answer is C.", "[Answer]", "[Rationale]", "[Context]", "<answer>",
         "</answer>", "<answer> B </answer>", "(A)", "(b)", "(ſ)", "(Z)", "( C)", "A", "b", "C", "ſ", "ı", "İ", "\u212A", "K", "d",
         "1", "٣", "７", "𝟠", "²", "½", "12", "red", "BLUE BIRD", "not", "οδοσ", "ΟΔΟΣ", "ΟΔΟΣ.", "i̇stanbul STRASSE",
         "İSTANBUL STRAßE", "Σ", "ΑΣ", "ΑΣ\u0301Β", "Σ'", "ǅ", "ﬁ", "ẞ", "Ꭰ", "𐐀"]
SPACES = [" ", " ", " ", "\n", "\t", "\u00A0", "\u3000", "\u2028", "\x1c", "\x85", "  ", " \n ", "", "", "\u200B", "\uFEFF"]
STOPS = ["", "", "", ".", ",", "!", "?", ":", ")", "(", "\u0301", "_"]


# Answers in the forms that are looked for, of which pieces are then changed. "_" is white space.
FORMS = ["the_answer_is_X", "Therefore,_the_answer_is_X", "therefore_the_answer_is_X", "answer_is:_X", "Answer:_X",
         "answer:_assistant_X", "Answer:_assistant", "The answer is X.", "The answer is (X)", "<answer>_X_</answer>",
         "[Answer]_X [Rationale]_X", "(X)", "option X", "X", "X."]
ODD = {"s": "sSſ", "i": "iIİı", "a": "aA", "t": "tT", "e": "eE", "n": "nN", "w": "wW", "r": "rR", "h": "hH"}


def form():
    text = ""
    for character in RANDOM.choice(FORMS):
        if character == "_":
            text += "".join(RANDOM.choice(SPACES) for _ in range(RANDOM.randrange(3)))
        elif character == "X":
            text += RANDOM.choice("AABBCCDDEabcdeZſıİ\u212A0123٣７²" + " ")
        elif character in ODD and RANDOM.random() < 0.03:
            text += RANDOM.choice(ODD[character])
        else:
            text += character
    return text + RANDOM.choice(STOPS)


def odd_text():
    text = ""
    for _ in range(RANDOM.randrange(1, 5)):
        piece = form() if RANDOM.random() < 0.4 else RANDOM.choice(WORDS) + RANDOM.choice(STOPS)
        text += piece + RANDOM.choice(SPACES)
    return text


def random_text():
    """Characters of all planes, those with case twice as often."""
    text = ""
    while len(text) < 40:
        character = chr(RANDOM.choice((RANDOM.randrange(0x20, 0x250), RANDOM.randrange(0x370, 0x590), RANDOM.randrange(0x3000),
                                       RANDOM.randrange(0x10000), RANDOM.randrange(0x110000), 0x3A3, 0x2019, 0x345)))
        if not 0xD800 <= ord(character) <= 0xDFFF and unicodedata.category(character) != "Cn":
            text += character
    return text


def judged(text):
    """The judge of M3CoT: an option's letter, or any in parentheses; "-" where it fails."""
    if "[Answer]" in text:
        text = text.rsplit("[Answer]", 1)[1].split("[Rationale]")[0].split("[Context]")[0]
    letters = re.findall(r"\(([A-Za-z])\)", text)
    if letters:
        return letters[-1].upper()
    named = [index for index, option in enumerate(OPTIONS) if option.lower() in text.lower()]
    tokens = re.sub(r"[\n.,!?]", " ", text).split(" ")
    for alphabet in ("ABCDE", "abcde"):
        named = named or [index for index, letter in enumerate(alphabet) if letter in tokens]
    return "ABCDE"[named[-1]] if named else "-"


def collected(text):
    """The letters of the IVT-LR program for the sequence `text`."""
    text = re.sub(r"(?<=answer:)\s*(\n+\s*)?assistant\b", "", text, flags=re.I)
    found = re.findall(r"(?:the\s+answer\s+is|Answer:)\s*[\n\s]*([A-Z])", text, flags=re.I)
    return "".join(sorted({letter.upper() for letter in found} & set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")))


def extracted(text):
    """The index of the IVT-LR program for ScienceQA."""
    for kind in (r"(\d)", r"([A-Z])"):
        for words in (r"Therefore,?\s*the\s+answer\s+is\s+", r"the\s+answer\s+is\s+", r"answer\s+is:?\s*"):
            found = re.search(words + kind, text, re.I)
            if found:
                piece = found.group(1)
                return int(piece) if kind == r"(\d)" else ord(piece.upper()) - ord("A")
    return -1


def only(pattern, text):
    found = re.findall(pattern, text)
    return "ABCDE".find(found[0]) if len(found) == 1 else -1


def tagged(text):
    first = re.search(r"<answer>\s*(.*?)\s*</answer>", text)
    every = re.findall(r"<answer>\s*(.*?)\s*</answer>", text, re.S)
    return [first.group(1) if first else None, every[-1] if every else None]


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    for number in range(count):
        text = odd_text() if number % 6 else random_text()
        found = {"m3cot": judged(text), "letters": collected(text), "index": extracted(text),
                 "sqa": only(r"The answer is ([A-Z]).", text.strip()), "paren": only(r"The answer is \(([A-Z])\)", text),
                 "first": tagged(text)[0], "last": tagged(text)[1]}
        case = {"text": text, "lower": text.lower(), "strip": text.strip()}
        case.update((key, value) for key, value in found.items() if value not in ("-", "", -1, None))
        sys.stdout.buffer.write((json.dumps(case, ensure_ascii=False) + "\n").encode())


main()
