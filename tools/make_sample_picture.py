#!/usr/bin/env python3
"""Draws docs/sample.png, the picture of the demo: a ball on a box, a cone, a window. Standard library only.

    tools/make_sample_picture.py [OUTPUT]
"""
import struct
import sys
import zlib
from pathlib import Path

WIDTH, HEIGHT, SAMPLES = 448, 336, 3  # SAMPLES^2 points a pixel


def shade(x, y):
    """Colour at a point in pixels."""
    if y > 232:
        light = 1.0 - (y - 232) / 320
        colour = (168 * light, 134 * light, 102 * light)  # the floor, darker towards us
        if (x - 150) ** 2 / 95 ** 2 + (y - 268) ** 2 / 14 ** 2 < 1 or (x - 330) ** 2 / 62 ** 2 + (y - 274) ** 2 / 10 ** 2 < 1:
            colour = tuple(0.7 * part for part in colour)
    else:
        colour = (222 - y / 8, 216 - y / 9, 200 - y / 12)
        if 286 < x < 406 and 24 < y < 124:  # window with bars
            colour = (134, 188, 232) if abs(x - 346) > 3 and abs(y - 74) > 3 and 292 < x < 400 and 30 < y < 118 \
                else (246, 246, 242)
    if 86 < x < 214 and 176 < y < 266:  # the box
        colour = (44, 86, 168) if x < 190 else (32, 64, 130)
        if 176 < y < 186:
            colour = (84, 128, 206)
    distance = (x - 142) ** 2 + (y - 131) ** 2
    if distance < 46 ** 2:  # the ball, lit from the upper right
        glow = max(0.0, 1.0 - ((x - 158) ** 2 + (y - 112) ** 2) / 62 ** 2)
        colour = (150 + 90 * glow, 24 + 110 * glow ** 4, 30 + 100 * glow ** 4)
    if 150 < y < 272 and abs(x - 330) < (y - 150) * 0.42:  # the cone
        side = (x - 330) / ((y - 150) * 0.42 + 1)
        colour = (50 + 26 * side, 142 + 50 * side, 74 + 26 * side)
    return colour


def pixel(column, row):
    total = [0.0, 0.0, 0.0]
    for i in range(SAMPLES):
        for j in range(SAMPLES):
            colour = shade(column + (i + 0.5) / SAMPLES, row + (j + 0.5) / SAMPLES)
            total = [a + b for a, b in zip(total, colour)]
    return bytes(min(255, max(0, round(part / SAMPLES ** 2))) for part in total)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def main():
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "docs/sample.png"
    rows = []
    for row in range(HEIGHT):
        line = b"".join(pixel(column, row) for column in range(WIDTH))
        rows.append(b"\1" + bytes((line[i] - (line[i - 3] if i >= 3 else 0)) & 255 for i in range(len(line))))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    output.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows), 9))
                       + chunk(b"IEND", b""))


main()
