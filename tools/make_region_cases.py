#!/usr/bin/python3
"""Makes tests/data/image/regions.csv: boxes on noise, and what Pillow shows of them.

Needs Debian's python3-pil and python3-numpy. Run it from the root of the repository. A row:

  seed, width, height       of the picture, SplitMix64 noise as in resize.csv, mode 0
  x0, y0, x1, y1, percent   the box and by how much it is widened
  scale, cell, least, most  how it is shown
  x, y, w, h                the region cut
  new width, new height, CRC-32 of the RGB bytes; the last seven are 0 where the box is refused
"""
import random
import zlib

import numpy as np
from PIL import Image

MASK = (1 << 64) - 1


def noise(seed, width, height):
    values, state = bytearray(), seed
    for _ in range(width * height * 3):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        values.append((z ^ z >> 31) >> 56)
    return Image.fromarray(np.frombuffer(bytes(values), np.uint8).reshape(height, width, 3), "RGB")


def shown_size(width, height, cell, least, most):
    """Multiples of the cell near the size, with bounds on the area."""
    h, w = max(cell, round(height / cell) * cell), max(cell, round(width / cell) * cell)
    if h * w > most:
        beta = (height * width / most) ** 0.5
        h, w = (max(cell, int(side / beta / cell) * cell) for side in (height, width))
    elif h * w < least:
        beta = (least / (height * width)) ** 0.5
        h, w = (-int(-(side * beta) // cell) * cell for side in (height, width))
    return w, h


def region(box, percent, width, height):
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        return None
    factor = percent / 100
    cx, cy, hw, hh = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) * factor / 2, (y1 - y0) * factor / 2
    left, top = int(max(0, cx - hw)), int(max(0, cy - hh))
    right, bottom = int(min(width, cx + hw)), int(min(height, cy + hh))
    return (left, top, right, bottom) if left < right and top < bottom else None


def main():
    random.seed(20)
    with open("tests/data/image/regions.csv", "w", encoding="ascii") as out:
        for seed in range(120):
            width, height = random.choice([(28, 28), (56, 84), (112, 112), (140, 56), (168, 112)])
            xs, ys = sorted(random.uniform(0, width) for _ in "ab"), sorted(random.uniform(0, height) for _ in "ab")
            if seed % 3:
                xs, ys = [int(x) for x in xs], [int(y) for y in ys]
            if seed % 10 == 0:
                xs.reverse()
            if seed % 10 == 1:
                ys[1] = height + 1
            if seed % 10 == 2:
                xs[0], xs[1], ys[0], ys[1] = 0, width, 0, height
            box = [float(f"{v:.3f}") for v in (xs[0], ys[0], xs[1], ys[1])]
            percent, scale, cell = random.choice([100, 150, 150, 200]), random.choice([1, 2, 2, 3]), random.choice([28, 28, 8])
            least, most = random.choice([(3136, 12544), (12544, 14745600)])
            found = region(box, percent, width, height)
            rest = [0] * 7
            if found:
                cut = noise(seed, width, height).crop(found)
                if max(cut.size) / min(cut.size) > 100:
                    continue
                size = shown_size(cut.width * scale, cut.height * scale, cell, least, most)
                shown = cut.resize(size, Image.Resampling.LANCZOS)
                rest = [found[0], found[1], *cut.size, *size, f"{zlib.crc32(shown.tobytes()):08x}"]
            print(seed, width, height, *box, percent, scale, cell, least, most, *rest, sep=",", file=out)


main()
