#!/usr/bin/env python3
"""Makes a tokenizer with the structure of Chameleon's, and what Hugging Face tokenizers does with it and with other pipelines.

    python3 tools/make_tokenizer_cases.py tests/data/tokenizer-chameleon

Needs the package tokenizers (made with 0.23.3). Deterministic. Writes, all in ASCII:

    tokenizer.json, tokenizer_config.json   the tokenizer; the original, which is not free, has 65,536 tokens
    strings.json     the texts, drawn from atoms that pre-tokenizers and normalizers treat in different ways
    ids.json         for each text its ids, without the token at the beginning
    plain.json       {number of the text: ids} if no control tokens are recognised in it, where this differs
    pipelines.jsonl  other normalizers and pre_tokenizers with the same vocabulary: for each of the first texts the FNV-1a hash (32
                     bits) of its ids, as 8 hexadecimal digits
"""
import json
import os
import random
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

CODES, SENTINELS, RESERVED = 64, 8, range(8704, 8710)
TRAINED = 1000
STRINGS, HASHED = 3000, 500
IMAGE, SEPARATOR = "<image>", "<reserved08706>"

REGEXES = ["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\t\n]|    |  )"]
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def split(pattern, behavior="Isolated", invert=False, literal=False):
    return {"type": "Split", "pattern": {"String" if literal else "Regex": pattern}, "behavior": behavior, "invert": invert}


def digits(individual):
    return {"type": "Digits", "individual_digits": individual}


def punctuation(behavior="Isolated"):
    return {"type": "Punctuation", "behavior": behavior}


def byte_level(use_regex=True, space=False):
    return {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": use_regex}


def steps(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def rules(*parts):
    return {"type": "Sequence", "normalizers": list(parts)}


def replace(pattern, content, literal=False):
    return {"type": "Replace", "pattern": {"String" if literal else "Regex": pattern}, "content": content}


PRE_TOKENIZER = steps(*(split(regex) for regex in REGEXES), digits(True), punctuation(), byte_level())


def image_name(code):
    """Decimal digits as letters A to J."""
    return "IMGIMG" + "".join("ABCDEFGHIJ"[int(digit)] for digit in str(code)) + "Z"


def special_tokens():
    return (["<s>", "<pad>", "</s>", "<unk>"] + [image_name(code) for code in range(CODES)] + ["<eoss>", "<racm3:break>"] +
            [f"<sentinel:{i}>" for i in range(SENTINELS)] + [f"<reserved{i:05d}>" for i in RESERVED] + [IMAGE])


# ------------------------------------------------------------------ texts --

WORDS = """the a of and to in is it that which what colour red green blue yellow circle square triangle star arrow image picture
question answer options therefore because left right above below first second third step look find count there are how many
Question Options Answer Therefore First THE Which A B C D E don't I'm we've you'll it's she'd they're O'Neil 'tis café naïve Straße
Ελληνικά Ας μου Κόσμος ΣΑΣ Москва ЁЖ это İstanbul ıssız שלום مرحبا हिन्दी ไทย 漢字 日本語 한국어 ﬁne Ǆ ﬃ Ⅷ ½ ² ³ ① 123 7 42 3.14 1,000 1e-5
٣٤ १२ ４２ x1 B12 100%""".split()
SPACES = [" ", " ", " ", " ", " ", "  ", "   ", "    ", "     ", "\t", "\t\t", "\n", "\n\n", "\r\n", "\n ", " \n", "\u00a0", "\u2003", "\u3000",
          "\u0085", "\u2028", "\u200b", "\ufeff", "\u180e", ""]
STOPS = list(".,;:!?-_'\"()[]{}<>/\\|@#$%^&*+=~`") + ["...", "?!", "--", "}\n", ").{", "(A).{", "[Question]:{", "\n[Options]:\n", "\nAnswer:",
                                                        "«", "»", "…", "—", "“", "”", "’", "¿", "·", "।", "。", "，", "、", "！", "€", "£", "©", "→",
                                                        "∑", "≤", "\u2e2e", "\u05be", "\u066b", "'s", "'re", "''", "'S"]
ODD = ["e\u0301", "\u00e9", "e\u0323\u0302", "a\u030a", "\u212b", "\u1e9b\u0323", "\u1100\u1161\u11a8", "\ud55c", "\u0344", "\u0958", "\ufb01", "\ufdfa",
       "\u3392", "\uff21\uff42", "\u00b5", "\u2126", "\u0130", "\u01c5", "\u03c2", "\U0001f600", "\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f",
       "\U0001d400", "\U00020000", "\u0000", "\u0007", "\u001b[0m", "\u007f", "\ufffd", "\ue000", "\U0010ffff", "\u0e33", "\u0149", "\u1fb4"]
NAMES = ["<s>", "</s>", "<pad>", "<unk>", "<eoss>", "<racm3:break>", "<sentinel:3>", "<sentinel:77>", IMAGE, SEPARATOR, "<reserved08704>",
         "<reserved00001>", "IMGIMGAZ", "IMGIMGBJZ", "IMGIMGGDZ", "IMGIMGJJZ", "IMGIMGABCDEZ", "IMGIMG", "<image", "image>", "<<s>>"]


def make_text(chance):
    text = ""
    for _ in range(chance.choice((1, 2, 3, 5, 8, 13, 21))):
        kind = chance.random()
        if kind < 0.55:
            text += chance.choice(WORDS) + chance.choice(SPACES)
        elif kind < 0.75:
            text += chance.choice(STOPS)
        elif kind < 0.85:
            text += chance.choice(SPACES)
        elif kind < 0.95:
            text += chance.choice(ODD)
        else:
            text += chance.choice(NAMES)
    return text


def make_prompt(chance):
    """As the authors of IVT-LR write them, in training and in answering."""
    question = " ".join(chance.choice(WORDS) for _ in range(chance.randint(3, 9))) + "?"
    options = "\n".join(f"({letter}).{{{chance.choice(WORDS)} {chance.choice(WORDS)}}}" for letter in "ABCD"[:chance.randint(2, 4)])
    if chance.random() < 0.5:
        return f"[Question]:{{{IMAGE}{question}}}\n[Options]:\n{options}"
    return f"{IMAGE}[Question]:{{{question}}}\n[Options]:\n{options}\nAnswer:{SEPARATOR}"


def make_strings():
    chance = random.Random(16)
    texts = [""] + WORDS + SPACES[5:-1] + STOPS + ODD + NAMES
    while len(texts) < STRINGS:
        texts.append(make_prompt(chance) if chance.random() < 0.05 else make_text(chance))
    head = texts[:len(texts) - 1]
    random.Random(17).shuffle(head)  # the first ones, which are hashed, are of all kinds
    return head + texts[-1:]


# -------------------------------------------------------------- tokenizer --

def train(texts):
    """On texts without names of image codes: every name in the vocabulary that begins like one must be one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = with_parts(tokenizer, None, PRE_TOKENIZER).pre_tokenizer
    specials = special_tokens()
    trainer = trainers.BpeTrainer(vocab_size=TRAINED + len(specials), special_tokens=specials, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([text for text in texts if "IMGIMG" not in text], trainer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 0)])
    return tokenizer


def with_parts(tokenizer, normalizer, pre_tokenizer, **model):
    value = json.loads(tokenizer.to_str())
    value["normalizer"], value["pre_tokenizer"] = normalizer, pre_tokenizer
    value["model"].update(model)
    return Tokenizer.from_str(json.dumps(value))


def pipelines():
    """name: normalizer, pre_tokenizer, ignore_merges"""
    chain, bytes_only = PRE_TOKENIZER, byte_level(False)
    yield "bytes", None, bytes_only, False
    yield "gpt2", None, byte_level(), False
    yield "gpt2-space", None, byte_level(space=True), False
    yield "qwen2", {"type": "NFC"}, steps(split(QWEN2), bytes_only), False
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase"):
        yield form, {"type": form}, chain, False
    yield "prepend", {"type": "Prepend", "prepend": " "}, chain, False
    yield "replace", replace("e", "<s>", True), chain, False
    yield "replace-dot", replace(".", "!", True), chain, False
    yield "replace-regex", replace(r"\s+", " "), chain, False
    yield "replace-away", replace("[a-m]+", ""), chain, False
    yield "strip", {"type": "Strip", "strip_left": True, "strip_right": True}, chain, False
    yield "strip-left", {"type": "Strip", "strip_left": True, "strip_right": False}, chain, False
    yield "rules", rules({"type": "NFKC"}, replace("  ", " ", True), {"type": "Lowercase"}, {"type": "Prepend", "prepend": "x"}), chain, False
    for behavior in ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            yield f"split-{behavior}-{invert}", None, steps(split(r"[a-z]+|\d", behavior, invert), bytes_only), False
        yield f"string-{behavior}", None, steps(split(" ", behavior, literal=True), bytes_only), False
        yield f"nothing-{behavior}", None, steps(split("(?=[A-Z])|e", behavior), bytes_only), False
        yield f"punctuation-{behavior}", None, steps(punctuation(behavior), bytes_only), False
    yield "digits", None, steps(digits(True), bytes_only), False
    yield "numbers", None, steps(digits(False), bytes_only), False
    yield "late-space", None, steps(digits(True), byte_level(space=True)), False
    yield "ignore-merges", None, chain, True


def hash_of(ids):
    value = 0x811C9DC5
    for token in ids:
        for byte in token.to_bytes(4, "little"):
            value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{value:08x}"


def encode(tokenizer, texts):
    return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    texts = make_strings()
    tokenizer = train(texts)

    def write(name, value, **how):
        with open(os.path.join(directory, name), "w", encoding="ascii") as out:
            json.dump(value, out, **how)
            out.write("\n")

    write("tokenizer.json", json.loads(tokenizer.to_str()), separators=(",", ":"))
    write("tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "clean_up_tokenization_spaces": False, "eos_token": "</s>",
        "legacy": False, "model_max_length": 1000000000000000019884624838656, "pad_token": "<pad>", "sep_token": SEPARATOR,
        "spaces_between_special_tokens": False, "tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>",
        "use_default_system_prompt": False}, indent=1)
    ids = encode(tokenizer, texts)
    write("strings.json", texts, separators=(",\n", ":"))
    write("ids.json", ids, separators=(",", ":"))
    tokenizer.encode_special_tokens = True
    plain = encode(tokenizer, texts)
    write("plain.json", {str(i): p for i, (p, t) in enumerate(zip(plain, ids)) if p != t}, separators=(",", ":"))
    with open(os.path.join(directory, "pipelines.jsonl"), "w", encoding="ascii") as out:
        for name, normalizer, pre_tokenizer, ignore in pipelines():
            other = with_parts(tokenizer, normalizer, pre_tokenizer, ignore_merges=ignore)
            hashes = "".join(hash_of(each) for each in encode(other, texts[:HASHED]))
            out.write(json.dumps({"name": name, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "ignore_merges": ignore,
                                  "hashes": hashes}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
