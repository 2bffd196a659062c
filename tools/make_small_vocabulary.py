#!/usr/bin/env python3
"""Trains the small byte-level BPE vocabulary of tests/data/tokenizer-small and of the demo model.

    python3 tools/make_small_vocabulary.py tests/data/tokenizer-small

Writes tokenizer.json, tokenizer_config.json (with the chat template of Qwen2-VL) and, in files/,
the same as vocab.json + merges.txt. Deterministic; needs only the standard library.

The pieces are those of the Qwen2 pattern for ASCII text. Trained tokens: 256 bytes, then merges
until TRAINED tokens. Added tokens: the 14 of Qwen2-VL in their order, then the three of IVT-LR.
"""
import collections
import itertools
import json
import os
import re
import sys

TRAINED = 640

SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]
LATENT = ["<|start-latent|>", "<|end-latent|>", "<|latent|>"]

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")
ASCII_PATTERN = re.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+")

CHAT_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}<|im_end|>\n{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}"
    "<|vision_start|><|video_pad|><|vision_end|>{% elif 'text' in content %}"
    "{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")

COLOURS = ["red", "green", "blue", "yellow", "purple", "orange", "black", "white", "grey", "brown"]
SHAPES = ["circle", "square", "triangle", "star", "cross", "diamond", "ring", "hexagon", "arrow", "cube"]
SIZES = ["small", "large", "tiny", "big"]
PLACES = ["left of", "right of", "above", "below", "next to", "between", "inside", "near"]
CORNERS = ["top left", "top right", "bottom left", "bottom right", "centre", "middle"]


def corpus():
    """English of the kind that the demo model reads and writes."""
    yield "You are a helpful assistant."
    yield "system\n"
    yield "user\n"
    yield "assistant\n"
    for colour, shape in itertools.product(COLOURS, SHAPES):
        yield f"What colour is the {shape}? The {shape} is {colour}."
        yield f"Is there a {colour} {shape} in the picture? Yes, there is. No, there is not."
        yield f"How many {colour} {shape}s are in the image?"
        yield f"The {colour} {shape} is the odd one out."
    for size, shape, place in itertools.product(SIZES, SHAPES, PLACES):
        yield f"Which shape is {place} the {size} {shape}?"
        yield f"Look at the {size} {shape} first, then find what is {place} it."
    for corner, shape in itertools.product(CORNERS, SHAPES):
        yield f"In the {corner} of the image there is a {shape}."
        yield f"What number is written in the {shape} at the {corner}?"
    for letter, colour in itertools.product("ABCDEF", COLOURS):
        yield f"({letter}).{{{colour}}}\n"
        yield f"({letter}) {colour}\n"
        yield f"Therefore, the answer is {letter}."
        yield f"The answer is {letter}.\n"
    for shape in SHAPES:
        yield f"[Question]:{{Which option names the {shape}?}}\n[Options]:\n"
        yield f"(A).{{{shape}}}\nAnswer:\n"
        yield f"Choose the correct option. Answer with the letter of the option only."
        yield f"Let us think step by step. Step one: find the {shape}. Step two: follow the arrow."
        yield f"It isn't a {shape}, it's something else; we'll count them and they're equal."
    for count, shape in itertools.product(range(10), SHAPES):
        yield f"There are {count} {shape}s: the total is {count}."
        yield f"Count every {shape}. I can see {count} of them."
    yield "Describe the image. What do you see? What happens if both are removed?"
    yield "First, second, third, last, more, less, same, different, larger, smaller, before, after."
    yield "Start at the circle, follow the line to the next shape, and read its colour."
    yield "The question asks about the object that the arrow points at."
    yield "Explain why. Because of this, the rule is: the shape after the star is a ring."


def byte_alphabet():
    """GPT-2's letters for the 256 bytes."""
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {byte: chr(byte) for byte in itself}
    others = [byte for byte in range(256) if byte not in letters]
    letters.update({byte: chr(256 + i) for i, byte in enumerate(others)})
    return letters


def merge_word(word, pair):
    merged, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            merged.append(word[i] + word[i + 1])
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return tuple(merged)


def train():
    letters = byte_alphabet()
    counts = collections.Counter(piece for text in corpus() for piece in ASCII_PATTERN.findall(text))
    words = {piece: tuple(letters[byte] for byte in piece.encode()) for piece in counts}
    # Ids of the bytes are in the order of their letters, as in the published vocabularies.
    vocabulary = sorted(letters.values(), key=ord)
    merges = []
    while len(vocabulary) < TRAINED:
        pairs = collections.Counter()
        for piece, word in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += counts[piece]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        if best[0] + best[1] not in vocabulary:
            vocabulary.append(best[0] + best[1])
        words = {piece: merge_word(word, best) for piece, word in words.items()}
    return vocabulary, merges


def added_token(content):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False,
            "single_word": False, "special": content in SPECIAL}


def write(path, value, indent=1):
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        json.dump(value, out, ensure_ascii=False, indent=indent)
        out.write("\n")


def main():
    directory = sys.argv[1]
    files = os.path.join(directory, "files")
    os.makedirs(files, exist_ok=True)
    vocabulary, merges = train()
    added = {len(vocabulary) + i: added_token(text) for i, text in enumerate(SPECIAL + LATENT)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    ids = {token: i for i, token in enumerate(vocabulary)}
    write(os.path.join(directory, "tokenizer.json"), {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, **token} for i, token in added.items()],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "vocab": ids,
                  "merges": [" ".join(pair) for pair in merges]},
    })
    config = {
        "added_tokens_decoder": {str(i): token for i, token in added.items()},
        "additional_special_tokens": SPECIAL[1:],
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2Tokenizer",
    }
    write(os.path.join(directory, "tokenizer_config.json"), config)
    write(os.path.join(files, "tokenizer_config.json"), config)
    write(os.path.join(files, "vocab.json"), ids, indent=None)
    with open(os.path.join(files, "merges.txt"), "w", encoding="utf-8", newline="\n") as out:
        out.write("#version: 0.2\n")
        out.writelines(" ".join(pair) + "\n" for pair in merges)
    print(f"{len(vocabulary)} trained tokens, {len(merges)} merges, {len(added)} added tokens")


if __name__ == "__main__":
    main()
