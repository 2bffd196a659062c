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
    for name, value in variants():
        with open(os.path.join(directory, f"{name}.json"), "w", encoding="ascii") as out:
            json.dump(value, out, separators=(",", ":"))
    for name, data in TEXTS.items():
        with open(os.path.join(directory, name), "wb") as out:
            out.write(data)


if __name__ == "__main__":
    main()
