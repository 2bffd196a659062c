#!/usr/bin/env python3
"""Writes src/text/unicode_punctuation.c: the characters that `Punctuation` of Hugging Face tokenizers splits at, asked one by one.

    python3 tools/make_unicode_punctuation.py > src/text/unicode_punctuation.c

Needs the package tokenizers. They are the punctuation of ASCII (symbols included), and the general categories P* of an older Unicode,
which the library keeps whatever its version: later characters are none.
"""
import tokenizers
from tokenizers import pre_tokenizers

COLUMNS = 5


def punctuation():
    split = pre_tokenizers.Punctuation("isolated")
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000 and len(split.pre_tokenize_str("a" + chr(code) + "a")) == 3:
            yield code


def ranges(codes):
    found = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def main():
    items = [f"{{ 0x{begin:04X}, 0x{end:04X} }}," for begin, end in ranges(punctuation())]
    lines = [" ".join(items[i:i + COLUMNS]) for i in range(0, len(items), COLUMNS)]
    print(f"/* Made by tools/make_unicode_punctuation.py from tokenizers {tokenizers.__version__}. */")
    print('#include "text/unicode.h"\n')
    print("const tn_point_range tn_unicode_punctuation[] = {")
    print("\n".join("    " + line for line in lines))
    print("};\n")
    print("const size_t tn_unicode_punctuation_count = sizeof tn_unicode_punctuation / sizeof tn_unicode_punctuation[0];")


if __name__ == "__main__":
    main()
