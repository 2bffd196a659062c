#!/usr/bin/env python3
"""Writes the seeds of the fuzz target "tokenizer":  python3 tools/make_tokenizer_seeds.py tests/data/fuzz/tokenizer

A complete tokenizer.json of 256 bytes and two merges, a few variants, edits, and texts in spans
(see tests/fuzz/tokenizer.c for the first bytes).
"""
import copy
import json
import os
import sys

from make_small_vocabulary import PATTERN, byte_alphabet

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}


def tokenizer():
    vocab = {letter: i for i, letter in enumerate(sorted(byte_alphabet().values(), key=ord))}
    vocab.update({"he": 256, "the": 257})
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    return {
        "added_tokens": [{"id": 258, "content": "<|im_end|>", "special": True, "normalized": False},
                         {"id": 259, "content": "<x>", "special": False, "normalized": True}],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, BYTE_LEVEL]},
        "post_processor": BYTE_LEVEL,
        "decoder": BYTE_LEVEL,
        "model": {"type": "BPE", "vocab": vocab, "merges": ["h e", "t he"]},
    }


def variants():
    base = tokenizer()
    yield "plain", base
    pairs = copy.deepcopy(base)
    pairs["model"]["merges"] = [["h", "e"], ["t", "he"]]
    pairs["model"]["ignore_merges"] = True
    yield "pairs", pairs
    gpt2 = copy.deepcopy(base)
    gpt2["pre_tokenizer"] = {**BYTE_LEVEL, "use_regex": True}
    gpt2["normalizer"] = None
    yield "gpt2", gpt2
    removed = copy.deepcopy(base)
    removed["pre_tokenizer"]["pretokenizers"][0].update(
        {"behavior": "Removed", "invert": True, "pattern": {"Regex": "\\p{L}+|\\d"}})
    yield "removed", removed


def kinds():
    """Each kind of a normalizer and of a pre_tokenizer."""
    rules = [{"type": form} for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase")]
    rules += [{"type": "Prepend", "prepend": "x "}, {"type": "Strip", "strip_left": True, "strip_right": False},
              {"type": "Replace", "pattern": {"String": "1"}, "content": "<x>"}, {"type": "Replace", "pattern": {"Regex": "[a-c]+\\s"}, "content": "\u00e9"}]
    for rule in rules:
        value = tokenizer()
        value["normalizer"] = rule
        yield "rule-" + rule["type"].lower() + ("-regex" if "Regex" in str(rule) else ""), value
    value = tokenizer()
    value["normalizer"] = {"type": "Sequence", "normalizers": rules}
    yield "rules", value
    steps = [{"type": "Digits", "individual_digits": True}, {"type": "Digits", "individual_digits": False}, {"type": "Punctuation", "behavior": "Contiguous"}]
    for behavior in ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        steps.append({"type": "Split", "pattern": {"Regex": "(?=[e-t])|<[0-9]*>"}, "behavior": behavior, "invert": behavior < "N"})
        steps.append({"type": "Split", "pattern": {"String": "e"}, "behavior": behavior, "invert": False})
    space = {**BYTE_LEVEL, "add_prefix_space": True, "use_regex": True}
    for number, step in enumerate(steps):
        value = tokenizer()
        value["pre_tokenizer"]["pretokenizers"] = [step, space if number % 2 else BYTE_LEVEL]
        yield f"step-{number}", value
    value = tokenizer()
    value["pre_tokenizer"]["pretokenizers"] = steps + [space]
    value["post_processor"] = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}, {"Sequence": {"id": "A"}}],
                               "pair": [], "special_tokens": {"<x>": {"id": "<x>", "ids": [259], "tokens": ["<x>"]}}}
    value["decoder"] = {"type": "Sequence", "decoders": [BYTE_LEVEL, {"type": "Fuse"}]}
    yield "steps", value


TEXTS = {
    "text-plain": b"\x00\x05\x03Therefore, the answer is A.\r\n 12 circles",
    "text-control": b"\x07\x04\x09<|im_start|>user\nred<|im_end|>\n",
    "text-mixed": b"\x05\x0c\x0a<|im_end|>e\xcc\x81<|latent|>\xcc\xb8 <|image_pad|>",
    "text-marks": "\x00\x01\x02e\u0301\u0323\u1100\u1161\u11a8\u0f73 \u212b\u05e9\u05c1\u05b8".encode(),
    "text-damaged": b"\x08\x02\x02a\xf0\x9f\x98(\xed\xa0\x80\xff\xc3",
    "text-emoji": "\x00\x02\x07\U0001f469\u200d\U0001f469\u200d\U0001f467 \u4e2d\u6587\uff0c\u0085".encode(),
    "edits": b"M\x01\x00{\x02\x40\"\x10\x20x",
    "template": b"\x00{% if x %}{{ 'a b'  }}{% endif %}\r\n",
}


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    for name, value in (*variants(), *kinds()):
        with open(os.path.join(directory, f"{name}.json"), "w", encoding="ascii") as out:
            json.dump(value, out, separators=(",", ":"))
    for name, data in TEXTS.items():
        with open(os.path.join(directory, name), "wb") as out:
            out.write(data)


if __name__ == "__main__":
    main()
