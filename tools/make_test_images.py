#!/usr/bin/python3
"""Makes the pictures of tests/data/image and tests/data/fuzz/image, with the pixels Pillow sees in them.

Needs Debian's python3-pil and python3-numpy, cjpeg and jpegtran (libjpeg-turbo-progs) and cwebp (webp).
Run it from the root of the repository. Output:

  tests/data/image/*.{jpg,png,webp}   one small picture of each kind
  tests/data/image/pictures.csv       file, width, height, CRC-32 of the RGB bytes as stored, and the same
                                      after the EXIF orientation is applied
  tests/data/image/resize.csv         seed, mode, width, height, new width, new height, filter, CRC-32 of
                                      what Pillow's resize gives; the source is SplitMix64 noise
  tests/data/fuzz/image/*             smaller ones of each kind, seeds of the fuzz target
"""
import io
import os
import random
import struct
import subprocess
import zlib

import numpy as np
from PIL import Image, ImageOps

DATA = "tests/data/image"
SEEDS = "tests/data/fuzz/image"
WHITE = (255, 255, 255)


def scene(width, height):
    """A picture with slopes, edges and noise, u8 RGB."""
    noise = np.random.default_rng(width * 1000 + height)
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([255 * x / max(width - 1, 1), 255 * y / max(height - 1, 1), 127 + 127 * np.sin(x * y / 9)], -1)
    rgb[(x - width * 0.6) ** 2 + (y - height * 0.4) ** 2 < (height * 0.3) ** 2] = (250, 20, 40)
    rgb[height // 4 : height // 2, width // 8 : width // 3] = (10, 240, 200)
    return np.clip(rgb + noise.normal(0, 12, rgb.shape), 0, 255).astype(np.uint8)


def over_white(rgba):
    """RGBA on white as Pillow's paste with a mask does it."""
    rgba = rgba.astype(np.int64)
    product = rgba[..., :3] * rgba[..., 3:] + 255 * (255 - rgba[..., 3:]) + 128
    return (((product >> 8) + product) >> 8).astype(np.uint8)


def flatten(image):
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGB", image.size, WHITE)
        ground.paste(image, mask=image.split()[3])
        return np.array(ground)
    return np.array(image.convert("RGB"))


def seen(data, upright):
    """The pixels Pillow gives for a file."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return flatten(ImageOps.exif_transpose(image) if upright else image)


# ------------------------------------------------------------------ PNG --

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def pack(samples, depth):
    """[height, width * channels] samples to rows of bytes."""
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in samples]
    if depth == 8:
        return [row.astype(np.uint8).tobytes() for row in samples]
    bits = (samples[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return [np.packbits(row.reshape(-1).astype(np.uint8)).tobytes() for row in bits]


def paeth(a, b, c):
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


def filtered(rows, step):
    """Each row with the next of the five filters."""
    out, before = b"", bytes(len(rows[0]))
    for number, row in enumerate(rows):
        kind = number % 5
        line = bytearray([kind])
        for i, value in enumerate(row):
            left = row[i - step] if i >= step else 0
            corner = before[i - step] if i >= step else 0
            guess = [0, left, before[i], (left + before[i]) // 2, paeth(left, before[i], corner)][kind]
            line.append((value - guess) & 255)
        out, before = out + bytes(line), row
    return out


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(samples, depth, color, interlaced=False, palette=None, transparent=None):
    """samples [height, width, channels] in 0 .. 2^depth - 1."""
    height, width, channels = samples.shape
    step = max(1, depth * channels // 8)
    data = b""
    for x, y, across, down in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[y::down, x::across]
        if part.size:
            data += filtered(pack(part.reshape(part.shape[0], -1), depth), step)
    body = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced)))
    if palette is not None:
        body += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparent is not None:
        body += chunk(b"tRNS", transparent)
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def to_rgb(samples, depth, color, palette, transparent):
    """What the samples mean, by the specification; 16 bit by its high byte."""
    eight = samples >> 8 if depth == 16 else samples * 255 // (2**depth - 1)
    alpha = np.full(samples.shape[:2], 255)
    if color == 3:
        rgb = palette[samples[..., 0]]
        if transparent is not None:
            alpha = np.array(list(transparent) + [255] * (256 - len(transparent)))[samples[..., 0]]
    else:
        rgb = np.repeat(eight[..., :1], 3, -1) if color in (0, 4) else eight[..., :3]
        if color in (4, 6):
            alpha = eight[..., -1]
        elif transparent is not None:
            key = np.frombuffer(transparent, ">u2")
            alpha = np.where((samples == key).all(-1), 0, 255)
    return over_white(np.concatenate([rgb, alpha[..., None]], -1))


# Pillow clips 16-bit grey, and compares the transparent colour after changing the depth.
PILLOW_DIFFERS = {"g16", "g16t", "g2t", "g4t", "rgb16t"}


def png_files(width, height):
    """Yields name, file, pixels for each kind of PNG."""
    rng = np.random.default_rng(5)
    ideal = scene(width, height).astype(np.int64)
    grey = ideal.sum(-1, keepdims=True) // 3
    alpha = np.clip(np.mgrid[0:height, 0:width][1:2].transpose(1, 2, 0) * 300 // width - 20, 0, 255)

    def deepen(values, depth):
        if depth == 16:
            return values * 256 + rng.integers(0, 256, values.shape)
        return values >> (8 - depth)

    kinds = [(f"g{d}", d, 0, deepen(grey, d)) for d in (1, 2, 4, 8, 16)]
    kinds += [(f"rgb{d}", d, 2, deepen(ideal, d)) for d in (8, 16)]
    kinds += [(f"p{d}", d, 3, deepen(grey, d)) for d in (1, 2, 4, 8)]
    kinds += [(f"ga{d}", d, 4, deepen(np.concatenate([grey, alpha], -1), d)) for d in (8, 16)]
    kinds += [(f"rgba{d}", d, 6, deepen(np.concatenate([ideal, alpha], -1), d)) for d in (8, 16)]
    for name, depth, color, samples in kinds:
        palette = rng.integers(0, 256, (2**depth, 3)) if color == 3 else None
        forms = [(name, False, None), (name + "i", True, None)]
        if color == 3:
            forms.append((name + "t", depth == 4, bytes(rng.integers(0, 256, 2**depth - 1).tolist())))
        elif color in (0, 2):
            key = samples[height // 3, width // 4]
            forms.append((name + "t", False, struct.pack(f">{len(key)}H", *key.tolist())))
        for form, interlaced, transparent in forms:
            data = png(samples, depth, color, interlaced, palette, transparent)
            pixels = to_rgb(samples, depth, color, palette, transparent)
            same = np.array_equal(pixels, seen(data, False))
            assert same or form.rstrip("i") in PILLOW_DIFFERS, form
            yield form, data, pixels


# ----------------------------------------------------------------- JPEG --


def run(command, data):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def ppm(rgb):
    return b"P6 %d %d 255\n" % (rgb.shape[1], rgb.shape[0]) + rgb.tobytes()


def without_segment(data, marker):
    """A JPEG without its first segment of this kind."""
    at = 2
    while data[at + 1] != marker:
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0] :]


def adobe_transform(data, value):
    at = data.index(b"Adobe") + 11
    return data[:at] + bytes([value]) + data[at + 1 :]


def saved(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def jpeg_files(width, height):
    rgb = scene(width, height)
    source = ppm(rgb)
    for name, sample in [("444", "1x1"), ("422", "2x1"), ("420", "2x2"), ("440", "1x2"), ("411", "4x1"), ("410", "4x2")]:
        yield name, run(["cjpeg", "-quality", "70", "-sample", sample], source)
    progressive = run(["cjpeg", "-quality", "70", "-progressive"], source)
    yield "420p", progressive
    yield "444p", run(["cjpeg", "-quality", "70", "-sample", "1x1", "-progressive"], source)
    yield "restart", run(["cjpeg", "-quality", "70", "-restart", "2B"], source)
    yield "arithmetic", run(["cjpeg", "-quality", "70", "-arithmetic"], source)
    yield "grey", run(["cjpeg", "-quality", "70", "-grayscale"], source)
    yield "greyp", run(["cjpeg", "-quality", "70", "-grayscale", "-progressive"], source)
    yield "rgb", run(["cjpeg", "-quality", "70", "-rgb"], source)
    inks = np.concatenate([255 - rgb, (rgb.min(-1, keepdims=True) // 2)], -1)
    cmyk = saved(Image.fromarray(inks, "CMYK"), "JPEG", quality=70)
    yield "cmyk", cmyk
    yield "ycck", adobe_transform(cmyk, 2)
    yield "cmyk_plain", without_segment(cmyk, 0xEE)


# ----------------------------------------------------------------- WebP --


def webp_files(width, height):
    rgb = scene(width, height)
    alpha = np.clip(np.mgrid[0:height, 0:width][0] * 300 // height - 20, 0, 255).astype(np.uint8)
    flat, clear = Image.fromarray(rgb), Image.fromarray(np.dstack([rgb, alpha]), "RGBA")
    yield "lossy", saved(flat, "WEBP", quality=60)
    yield "lossless", saved(flat, "WEBP", lossless=True)
    yield "lossy_alpha", saved(clear, "WEBP", quality=60)
    yield "lossless_alpha", saved(clear, "WEBP", lossless=True)


def animation(width, height):
    frames = [Image.fromarray(np.roll(scene(width, height), i, 1)) for i in range(2)]
    return saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)


# ----------------------------------------------------------------- EXIF --


def exif_files():
    """One JPEG for each orientation, one PNG and one WebP; both byte orders."""
    image = Image.fromarray(scene(19, 12))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x010F] = "maker"
        exif[0x0112] = orientation
        exif.endian = "<" if orientation % 2 else ">"
        yield f"exif{orientation}.jpg", saved(image, "JPEG", quality=60, subsampling=0, exif=exif.tobytes())
        if orientation == 6:
            yield "exif6.png", saved(image, "PNG", exif=exif.tobytes())
            yield "exif6.webp", saved(image, "WEBP", lossless=True, exif=exif.tobytes())


# --------------------------------------------------------------- resize --


def noise(seed, mode, width, height):
    """Bytes of SplitMix64: mode 0 the top byte of each number, mode 1 its top bit as 0 or 255."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, width * height * 3 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    data = z >> np.uint64(56) if mode == 0 else (z >> np.uint64(63)) * np.uint64(255)
    return data.astype(np.uint8).reshape(height, width, 3)


def resize_rows():
    draw = random.Random(11)
    for seed in range(400):
        most = draw.choice([4, 30, 120, 300])
        width, height, new_width, new_height = (draw.randint(1, most) for _ in range(4))
        width, height = (1 if draw.random() < 0.1 else side for side in (width, height))
        if draw.random() < 0.05:
            new_width = width
        if draw.random() < 0.05:
            new_height = height
        if seed % 40 == 39:
            width, new_width = draw.randint(2000, 6000), draw.randint(1, 40)
        mode, kind = seed % 2, [3, 1, 3, 1, 2, 4][seed // 2 % 6]
        image = Image.fromarray(noise(seed, mode, width, height)).resize((new_width, new_height), kind)
        yield seed, mode, width, height, new_width, new_height, kind, zlib.crc32(image.tobytes())


# ----------------------------------------------------------------- main --


def write(directory, name, data):
    with open(os.path.join(directory, name), "wb") as file:
        file.write(data)


def pictures():
    """Yields name, file, pixels as stored, pixels upright."""
    for name, data, pixels in png_files(21, 13):
        yield name + ".png", data, pixels, pixels
    for name, data in jpeg_files(45, 35):
        yield name + ".jpg", data, seen(data, False), seen(data, True)
    for name, data in webp_files(45, 35):
        yield name + ".webp", data, seen(data, False), seen(data, True)
    for name, data in exif_files():
        yield name, data, seen(data, False), seen(data, True)


def size_and_sum(pixels):
    return f"{pixels.shape[1]},{pixels.shape[0]},{zlib.crc32(np.ascontiguousarray(pixels).tobytes()):08x}"


def main():
    os.makedirs(DATA, exist_ok=True)
    os.makedirs(SEEDS, exist_ok=True)
    rows = []
    for name, data, stored, upright in pictures():
        write(DATA, name, data)
        rows.append(f"{name},{size_and_sum(stored)},{size_and_sum(upright)}\n")
    write(DATA, "pictures.csv", "".join(rows).encode())
    write(DATA, "animated.webp", animation(9, 7))
    write(DATA, "resize.csv", "".join(",".join(map(str, row[:-1])) + f",{row[-1]:08x}\n" for row in resize_rows()).encode())
    for name, data, _ in png_files(6, 5):
        write(SEEDS, name + ".png", data)
    for name, data in jpeg_files(9, 9):
        write(SEEDS, name + ".jpg", data)
    for name, data in webp_files(9, 7):
        write(SEEDS, name + ".webp", data)
    write(SEEDS, "animated.webp", animation(9, 7))
    for name, data in exif_files():
        write(SEEDS, name, data)


if __name__ == "__main__":
    main()
