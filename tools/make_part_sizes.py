#!/usr/bin/env python3
"""Makes tests/data/image/part-sizes.csv: pictures as parts with sizes of their own give them to the vision tower.

    pip install "pillow==12.0.0" "qwen-vl-utils==0.0.14" --no-deps
    tools/make_part_sizes.py

qwen_vl_utils.fetch_image resizes by the part's keys, then the model's image processor by its own rule, which is the same
smart_resize with the bounds of preprocessor_config.json, and Pillow's bicubic filter. Each row: the file, resized_width,
resized_height, min_pixels, max_pixels of the part (0: absent), min_pixels and max_pixels of the processor, width and height that
fetch_image gives, those that the tower sees, CRC-32 of the RGB bytes there. What only its video functions need is not loaded.
"""
import sys
import types
import zlib

for name in ("requests", "torch", "torchvision", "torchvision.io", "torchvision.transforms"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["torchvision"].io, sys.modules["torchvision"].transforms = sys.modules["torchvision.io"], sys.modules["torchvision.transforms"]
sys.modules["torchvision.transforms"].InterpolationMode = sys.modules["torch"].Tensor = None

from qwen_vl_utils.vision_process import fetch_image, smart_resize  # noqa: E402

DATA = "tests/data/image"
USUAL, SMALL = (3136, 12845056), (3136, 50176)
KEYS = ("resized_width", "resized_height", "min_pixels", "max_pixels")
PARTS = [(280, 280, 0, 0), (420, 280, 0, 0), (281, 279, 0, 0), (14, 14, 0, 0), (30, 1000, 0, 0), (0, 0, 3136, 3136),
         (0, 0, 50176, 0), (0, 0, 0, 6272), (0, 0, 100000, 200000), (0, 0, 1, 0), (0, 0, 12544, 12544), (0, 0, 0, 0)]


def main():
    rows = []
    for file in ("rgb8.png", "444.jpg"):
        for part in PARTS:
            for least, most in (USUAL, SMALL):
                given = {key: value for key, value in zip(KEYS, part) if value}
                first = fetch_image({"image": f"{DATA}/{file}", **given})
                height, width = smart_resize(first.height, first.width, 28, least, most)
                seen = first.resize((width, height), 3)
                rows.append([file, *part, least, most, *first.size, *seen.size, f"{zlib.crc32(seen.tobytes()):08x}"])
    with open(f"{DATA}/part-sizes.csv", "w", encoding="utf-8") as table:
        table.writelines(",".join(map(str, row)) + "\n" for row in rows)


main()
