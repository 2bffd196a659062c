"""Random conversations and pictures."""
import os

import numpy as np
from PIL import Image

WORDS = ("cube red sphere the a left of behind which colour is it how many What Where Why does figure shows answer A "
         "B C D (A). [Options]: [Question]:{ } 12 3.14 1,000 -7 x^2 + y don't we'll I'm naïve café Ångström e\u0301 "
         "日本語 東京 Привет мир مرحبا שלום 🙂 👩‍🔬 ﬁne … — \n \n\n \t == => foo_bar() {\"k\": 1}; https://x.y/z?q=1 "
         "  \u00a0 \u200b İstanbul ĳ Ⅳ ½ ٣").split(" ")


def sentence(chance, least=1, most=30):
    words = [chance.choice(WORDS) for _ in range(chance.randint(least, most))]
    return chance.choice(("", "", " ")).join(words[:3]) + " " + " ".join(words[3:]) if words else ""


def scene(chance, width, height):
    """Slopes, edges and noise, u8 RGB."""
    noise = np.random.default_rng(chance.randrange(1 << 30))
    y, x = np.mgrid[0:height, 0:width]
    colours = noise.uniform(0, 255, (4, 3))
    picture = colours[0] + (colours[1] - colours[0]) * (x / max(width - 1, 1))[..., None]
    picture[(x * height > y * width) & (y > height * noise.uniform())] = colours[2]
    centre, radius = noise.uniform(0, 1, 2) * (width, height), noise.uniform(0.1, 0.5) * min(width, height)
    picture[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius ** 2] = colours[3]
    return np.clip(picture + noise.normal(0, 20, picture.shape), 0, 255).astype(np.uint8)


class Pictures:
    """Picture files: those of tests/data/image, and random ones of odd sizes made in `folder`."""

    # The program refuses animations by design, where Pillow takes the first frame. Pillow clips 16-bit grey at
    # 255 when it converts, where the program keeps the upper byte. Pillow compares the transparent colour of 2-,
    # 4- and 16-bit files with samples that it has already brought to 8 bits, so that none is transparent.
    LEFT_OUT = ("animated.webp", "g16.png", "g16i.png", "g16t.png", "g2t.png", "g4t.png", "rgb16t.png")

    def __init__(self, folder, stored, chance):
        self.folder, self.chance, self.made = folder, chance, 0
        self.stored = sorted(os.path.join(stored, name) for name in os.listdir(stored)
                             if name.endswith((".png", ".jpg", ".webp")) and name not in self.LEFT_OUT)

    def any(self):
        return self.chance.choice(self.stored) if self.chance.random() < 0.25 else self.make()

    def make(self, width=None, height=None):
        chance = self.chance
        width, height = width or chance.randint(29, 330), height or chance.randint(29, 330)
        path = os.path.join(self.folder, f"picture{self.made}")
        self.made += 1
        picture = Image.fromarray(scene(chance, width, height))
        kind = chance.choice(("png", "png-grey", "png-alpha", "jpg", "jpg-full", "jpg-progressive", "webp"))
        if kind == "png-grey":
            picture = picture.convert("L")
        elif kind == "png-alpha":
            picture.putalpha(Image.fromarray(scene(chance, width, height)).convert("L"))
        if kind.startswith("png"):
            picture.save(path + ".png")
            return path + ".png"
        if kind == "webp":
            picture.save(path + ".webp", lossless=True)
            return path + ".webp"
        picture.save(path + ".jpg", quality=chance.randint(40, 95), progressive=kind == "jpg-progressive",
                     subsampling=0 if kind == "jpg-full" else 2)
        return path + ".jpg"


def turn(role, *parts):
    return {"role": role, "content": list(parts)}


def text(words):
    return {"type": "text", "text": words}


def image(path):
    return {"type": "image", "image": path}


def conversation(chance, pictures, kind):
    """kind: "text", "image", "images" (two or three, text between some) or "turns"."""
    if kind == "text":
        return [turn("user", text(sentence(chance)))]
    if kind == "image":
        return [turn("user", image(pictures.any()), text(sentence(chance)))]
    if kind == "images":
        parts = []
        for _ in range(chance.randint(2, 3)):
            parts.append(image(pictures.any()))
            if chance.random() < 0.5:
                parts.append(text(sentence(chance, 1, 4)))
        return [turn("user", *parts, text(sentence(chance)))]
    turns = [turn("system", text(sentence(chance)))] if chance.random() < 0.5 else []
    for _ in range(chance.randint(1, 3)):
        first = [image(pictures.any())] if chance.random() < 0.6 else []
        turns += [turn("user", *first, text(sentence(chance))), turn("assistant", text(sentence(chance, 1, 8)))]
    return turns + [turn("user", text(sentence(chance)))]
