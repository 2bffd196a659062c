#!/usr/bin/env python3
"""Writes src/eval/score_tables.c: what Python's str and re know of characters.

    tools/make_python_tables.py > src/eval/score_tables.c

Everything is asked of the running interpreter, so the tables follow its Unicode version (3.11: Unicode 14).
"""
import re
import sys
import unicodedata

# Surrogates cannot stand in UTF-8.
POINTS = [point for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]


def spans(holds):
    """[begin, end] of each run of code points for which holds(character)."""
    found = []
    for point in POINTS:
        if not holds(chr(point)):
            continue
        if found and found[-1][1] == point - 1:
            found[-1][1] = point
        else:
            found.append([point, point])
    return found


def cased(character):
    """As the rule of the final sigma sees it: a letter with case, and not one that the rule skips."""
    return (character + "\u03A3").lower()[-1] == "\u03C2"


def skipped(character):
    return ("A" + character + "\u03A3").lower()[-1] == "\u03C2" and not cased(character)


def decimals():
    """The zeros; the nine others follow each."""
    zeros = [point for point in POINTS if chr(point).isdecimal() and int(chr(point)) == 0]
    for zero in zeros:
        assert [int(chr(zero + digit)) for digit in range(10)] == list(range(10))
    assert 10 * len(zeros) == sum(chr(point).isdecimal() for point in POINTS)
    return zeros


def lowers():
    """(begin, end, step, difference) of runs; U+0130 becomes two characters and U+03A3 depends on its neighbours."""
    found = []
    for point in POINTS:
        low = chr(point).lower()
        if low == chr(point) or point == 0x130:
            continue
        assert len(low) == 1
        difference = ord(low) - point
        last = found[-1] if found else None
        if last and last[3] == difference and point - last[1] in (1, 2) and last[2] in (0, point - last[1]):
            last[1], last[2] = point, point - last[1]
        else:
            found.append([point, point, 0, difference])
    return [(begin, end, step or 1, difference) for begin, end, step, difference in found]


def table(kind, name, rows):
    print(f"\nconst {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        piece = " " + row + ","
        if len(line) + len(piece) > 120:
            print(line)
            line = "   "
        line += piece
    print(line + "\n};")
    print(f"const size_t {name}_count = sizeof {name} / sizeof *{name};")


def main():
    every = [chr(point) for point in POINTS]
    assert all(bool(re.match(r"\w", c)) == (c.isalnum() or c == "_") for c in every)
    assert all(bool(re.match(r"\s", c)) == c.isspace() for c in every)
    print(f"/* Made by tools/make_python_tables.py: Unicode {unicodedata.unidata_version}. */")
    print('#include "eval/score_text.h"')
    for name, holds in (("tn_python_words", lambda c: c.isalnum() or c == "_"), ("tn_python_spaces", str.isspace),
                        ("tn_python_cased", cased), ("tn_python_skipped", skipped)):
        table("tn_code_span", name, [f"{{{begin:#x}, {end:#x}}}" for begin, end in spans(holds)])
    table("int32_t", "tn_python_zeros", [f"{zero:#x}" for zero in decimals()])
    table("tn_lower_span", "tn_python_lowers",
          [f"{{{begin:#x}, {end:#x}, {step}, {difference}}}" for begin, end, step, difference in lowers()])


main()
