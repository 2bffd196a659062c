#!/usr/bin/env python3
"""Makes tests/data/image/orientation: small pictures that say in many ways how they stand, and what Pillow makes of each.

    tools/make_orientation_cases.py PYTHON [PYTHON ...]

Every PYTHON is an interpreter with a Pillow of its own; the first one also writes the JPEG and WebP pictures that the metadata
goes into (9.4.0 here; then 10.4.0, 11.3.0, 12.0.0, 12.2.0, 13.0.0, in Python 3.11). Output: the files, and table.csv with a row
of names, then a row for each file: the EXIF orientation, 1 to 8, that ImageOps.exif_transpose applies, or 0 where Pillow fails.
"""
import json
import os
import struct
import subprocess
import sys
import zlib

DATA = "tests/data/image/orientation"
PIXELS = [[(255, 0, 0), (0, 255, 0), (0, 0, 255)], [(255, 255, 0), (0, 255, 255), (20, 20, 20)]]

MAKE = """
import io, sys
from PIL import Image
image = Image.new("RGB", (24, 16))
pixels = %r
for y in range(16):
    for x in range(24):
        image.putpixel((x, y), pixels[y // 8][x // 8])
kind = sys.argv[1]
out = io.BytesIO()
image.save(out, kind, **({"quality": 80, "subsampling": 0} if kind == "JPEG" else {"lossless": True, "exif": b"Exif\\0\\0II*\\0"}))
sys.stdout.buffer.write(out.getvalue())
""" % (PIXELS,)

SEE = """
import io, json, sys, warnings
warnings.simplefilter("ignore")
import PIL
from PIL import Image, ImageOps
WAYS = [None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90]
def see(path):
    try:
        turned = ImageOps.exif_transpose(Image.open(path)).convert("RGB").tobytes()
    except Exception as problem:
        print(path, repr(problem), file=sys.stderr)
        return 0
    image = Image.open(path).convert("RGB")
    for number, way in enumerate(WAYS):
        if turned == (image if way is None else image.transpose(way)).tobytes():
            return number + 1
print(json.dumps([PIL.__version__, {path: see(path) for path in sys.argv[1:]}]))
"""


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(before=b"", behind=b""):
    rows = b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in PIXELS)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0)) + before +
            chunk(b"IDAT", zlib.compress(rows, 9)) + behind + chunk(b"IEND", b""))


def tiff(*entries, order=">", magic=42):
    """One directory; an entry is (tag, type, count, four bytes of value or offset, bytes behind the directory)."""
    head = (b"MM" if order == ">" else b"II") + struct.pack(order + "HI", magic, 8)
    body, tail, offset = struct.pack(order + "H", len(entries)), b"", 8 + 2 + 12 * len(entries) + 4
    for tag, kind, count, value, *more in entries:
        if more:
            value = struct.pack(order + "I", offset + len(tail))
            tail += more[0]
        body += struct.pack(order + "HHI", tag, kind, count) + value
    return head + body + struct.pack(order + "I", 0) + tail


def short(value, order=">", tag=0x0112):
    return (tag, 3, 1, struct.pack(order + "HH", value, 0))


def typed(kind, form, *values, order=">"):
    packed = struct.pack(order + form * len(values), *values)
    count = len(values) // 2 if kind in (5, 10) else len(values)
    return (0x0112, kind, count, packed.ljust(4, b"\0")) if len(packed) <= 4 else (0x0112, kind, count, b"", packed)


def profile(exif):
    """As ImageMagick writes a profile into a text."""
    digits = exif.hex()
    lines = [digits[i:i + 72] for i in range(0, len(digits), 72)]
    return ("\nexif\n%8d\n" % len(exif) + "\n".join(lines) + "\n").encode()


def text(key, value):
    return chunk(b"tEXt", key + b"\0" + value)


def ztext(key, value):
    return chunk(b"zTXt", key + b"\0\0" + zlib.compress(value))


def itext(key, value, packed=False):
    return chunk(b"iTXt", key + b"\0" + (b"\1\0" if packed else b"\0\0") + b"\0\0" + (zlib.compress(value) if packed else value))


def xmp(orientation, form="attribute"):
    inside = {"attribute": ('tiff:Orientation="%s"' % orientation, ""), "element": ("", "<tiff:Orientation>%s</tiff:Orientation>" % orientation),
              "spaced": ('tiff:Orientation = "%s"' % orientation, ""), "quote": ("tiff:Orientation='%s'" % orientation, "")}[form]
    return ('<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
            'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" %s>%s</rdf:Description></rdf:RDF></x:xmpmeta>' % inside).encode()


XMP, RAW, EXIF = b"XML:com.adobe.xmp", b"Raw profile type exif", b"Exif\0\0"


def png_cases():
    for n in range(0, 10):
        yield f"xmp{n}", png(itext(XMP, xmp(n)))
    for n in (3, 6):
        yield f"element{n}", png(itext(XMP, xmp(n, "element")))
    yield "xmp-packed", png(itext(XMP, xmp(6), True))
    yield "xmp-behind", png(b"", itext(XMP, xmp(6)))
    yield "xmp-spaced", png(itext(XMP, xmp(6, "spaced")))
    yield "xmp-quote", png(itext(XMP, xmp(6, "quote")))
    yield "xmp-two-digits", png(itext(XMP, xmp("68")))
    yield "xmp-first-of-two", png(itext(XMP, xmp("") + xmp(5) + xmp(6)))
    yield "xmp-last-chunk", png(itext(XMP, xmp(5)) + itext(XMP, xmp(6)))
    yield "xmp-tEXt", png(text(XMP, xmp(6)))
    yield "xmp-zTXt", png(ztext(XMP, xmp(6)))
    yield "xmp-other-key", png(itext(b"XML:com.adobe.xmq", xmp(6)))
    yield "xmp-broken-zlib", png(chunk(b"iTXt", XMP + b"\0\1\0\0\0" + b"not zlib"))
    for name, make in (("tEXt", text), ("zTXt", ztext), ("iTXt", itext)):
        yield f"raw-{name}", png(make(RAW, profile(EXIF + tiff(short(6)))))
    yield "raw-without-prefix", png(ztext(RAW, profile(tiff(short(8, "<"), order="<"))))
    yield "raw-behind", png(b"", ztext(RAW, profile(EXIF + tiff(short(6)))))
    yield "raw-last-chunk", png(text(RAW, profile(tiff(short(3)))) + ztext(RAW, profile(tiff(short(6)))))
    yield "raw-upper-case", png(text(RAW, profile(tiff(short(6))).upper().replace(b"EXIF", b"exif")))
    yield "raw-app1", png(text(b"Raw profile type APP1", profile(EXIF + tiff(short(6)))))
    yield "raw-no-hex", png(text(RAW, profile(tiff(short(6)))[:-3] + b"zz\n"))
    yield "raw-odd", png(text(RAW, profile(tiff(short(6)))[:-2] + b"\n"))
    yield "raw-empty", png(text(RAW, b""))
    yield "raw-two-lines", png(text(RAW, b"exif\n10\n" + tiff(short(6)).hex().encode()))
    yield "eXIf", png(chunk(b"eXIf", tiff(short(6))))
    yield "eXIf-behind", png(b"", chunk(b"eXIf", tiff(short(6))))
    yield "eXIf-prefix", png(chunk(b"eXIf", EXIF + tiff(short(6))))
    yield "eXIf-last", png(chunk(b"eXIf", tiff(short(3))) + chunk(b"eXIf", tiff(short(6))))
    yield "exif-tEXt", png(text(b"exif", EXIF + tiff(short(6))))
    # the order among them
    yield "order-eXIf-raw", png(text(RAW, profile(tiff(short(3)))) + chunk(b"eXIf", tiff(short(6))))
    yield "order-eXIf-xmp", png(itext(XMP, xmp(3)) + chunk(b"eXIf", tiff(short(6))))
    yield "order-raw-xmp", png(itext(XMP, xmp(3)) + text(RAW, profile(tiff(short(6)))))
    yield "order-eXIf-without-raw", png(text(RAW, profile(tiff(short(3)))) + chunk(b"eXIf", tiff(short(6, tag=0x0111))))
    yield "order-eXIf-without-xmp", png(itext(XMP, xmp(3)) + chunk(b"eXIf", tiff(short(6, tag=0x0111))))
    yield "order-raw-without-xmp", png(itext(XMP, xmp(3)) + text(RAW, profile(tiff(short(6, tag=0x0111)))))
    yield "order-eXIf-1-xmp", png(itext(XMP, xmp(6)) + chunk(b"eXIf", tiff(short(1))))
    yield "order-eXIf-0-xmp", png(itext(XMP, xmp(6)) + chunk(b"eXIf", tiff(short(0))))
    yield "order-eXIf-ascii-xmp", png(itext(XMP, xmp(6)) + chunk(b"eXIf", tiff(typed(2, "s", b"6", b"\0"))))
    yield "order-eXIf-unknown-type-xmp", png(itext(XMP, xmp(6)) + chunk(b"eXIf", tiff((0x0112, 99, 1, b"\0\3\0\0"))))
    yield "order-eXIf-empty-raw", png(chunk(b"eXIf", b"") + text(RAW, profile(tiff(short(6)))))
    # values of all types
    for name, entry in (("byte", typed(1, "B", 6)), ("ascii", typed(2, "s", b"6", b"\0")), ("long", typed(4, "I", 6)),
                        ("rational", typed(5, "I", 6, 1)), ("rational-half", typed(5, "I", 13, 2)), ("sbyte", typed(6, "b", 6)),
                        ("undefined", typed(7, "B", 6)), ("sshort", typed(8, "h", 6)), ("slong", typed(9, "i", 6)),
                        ("srational", typed(10, "i", 6, 1)), ("float", typed(11, "f", 6.0)), ("double", typed(12, "d", 6.0)),
                        ("ifd", typed(13, "I", 6)), ("long8", typed(16, "Q", 6)), ("two", typed(3, "H", 6, 3)),
                        ("four", typed(3, "H", 6, 3, 1, 8)), ("none", (0x0112, 3, 0, b"\0\6\0\0")), ("large", typed(4, "I", 65542)),
                        ("negative", typed(8, "h", -6)), ("rational-zero", typed(5, "I", 6, 0))):
        yield f"type-{name}", png(chunk(b"eXIf", tiff(entry)))
    yield "type-outside", png(chunk(b"eXIf", tiff((0x0112, 3, 4, b"\0\0\xff\0"))))
    yield "tag-twice", png(chunk(b"eXIf", tiff(short(3), short(6))))
    yield "tag-behind-outside", png(chunk(b"eXIf", tiff((0x010f, 2, 40, b"\0\0\xff\0"), short(6))))
    yield "tag-behind-far", png(chunk(b"eXIf", tiff((0x010f, 2, 10, b"\0\0\xff\0"), short(6))))
    yield "magic-MM-swapped", png(chunk(b"eXIf", tiff(short(6), magic=0x2a00)))
    yield "magic-II-swapped", png(chunk(b"eXIf", tiff(short(6, "<"), order="<", magic=0x2a00)))
    yield "magic-wrong", png(chunk(b"eXIf", tiff(short(6), magic=44)))
    yield "cut-entry", png(chunk(b"eXIf", tiff(short(6))[:20]))
    yield "cut-count", png(chunk(b"eXIf", tiff(short(6))[:9]))
    yield "count-too-large", png(chunk(b"eXIf", tiff(short(6))[:8] + b"\xff\xff" + tiff(short(6))[10:]))


def jpeg(plain, *segments):
    return plain[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in segments) + plain[2:]


def jpeg_cases(plain):
    name = b"http://ns.adobe.com/xap/1.0/\0"
    yield "xmp", jpeg(plain, name + xmp(6))
    yield "xmp-element", jpeg(plain, name + xmp(8, "element"))
    yield "xmp-last", jpeg(plain, name + xmp(3), name + xmp(6))
    yield "xmp-short-name", jpeg(plain, name[:-1] + xmp(6))
    yield "exif", jpeg(plain, EXIF + tiff(short(6)))
    yield "exif-first", jpeg(plain, EXIF + tiff(short(6)), EXIF + tiff(short(3)))
    # EXIF over several segments: the prefix of later ones is no part of it; other segments in between do not end it
    for cut in (1, 8, 10, 20):
        yield f"exif-split-{cut}", jpeg(plain, EXIF + tiff(short(6))[:cut], EXIF + tiff(short(6))[cut:])
    yield "exif-split-three", jpeg(plain, EXIF, EXIF + tiff(short(6))[:13], EXIF + tiff(short(6))[13:])
    yield "exif-split-xmp", jpeg(plain, EXIF + tiff(short(6))[:13], name + xmp(3), EXIF + tiff(short(6))[13:])
    yield "exif-split-other", jpeg(plain, EXIF + tiff(short(6))[:13], b"other\0", EXIF + tiff(short(6))[13:])
    yield "exif-split-offset", jpeg(plain, EXIF + tiff(typed(5, "I", 6, 1))[:30], EXIF + tiff(typed(5, "I", 6, 1))[30:])
    yield "exif-split-bare", jpeg(plain, EXIF + tiff(short(6))[:13], tiff(short(6))[13:])
    # APP2: the index of several pictures in one file (CIPA DC-007), which has a TIFF structure of its own
    multi = b"\xff\xe2" + struct.pack(">H", 2 + 4 + len(tiff(short(3)))) + b"MPF\0" + tiff(short(3))
    yield "multi-picture", plain[:2] + multi + plain[2:]
    yield "multi-picture-exif", jpeg(plain[:2] + multi + plain[2:], EXIF + tiff(short(6)))
    yield "exif-one-zero", jpeg(plain, b"Exif\0x" + tiff(short(6)))
    yield "exif-twice-prefixed", jpeg(plain, EXIF + EXIF + tiff(short(6)))
    yield "order-exif-xmp", jpeg(plain, name + xmp(3), EXIF + tiff(short(6)))
    yield "order-exif-1-xmp", jpeg(plain, name + xmp(3), EXIF + tiff(short(1)))
    yield "order-exif-without-xmp", jpeg(plain, EXIF + tiff(short(6, tag=0x0111)), name + xmp(3))
    yield "junk-between", plain[:2] + b"junk" + jpeg(plain, EXIF + tiff(short(6)))[2:]


def webp(plain, *chunks):
    """`plain` has a VP8X header and an EXIF chunk at its end; others take its place."""
    body = plain[12:plain.rindex(b"EXIF")]
    flags = sum({b"EXIF": 8, b"XMP ": 4}[kind] for kind in {kind for kind, _ in chunks})
    body = body[:8] + bytes([flags]) + body[9:]
    for kind, data in chunks:
        body += kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_cases(plain):
    yield "xmp", webp(plain, (b"XMP ", xmp(6)))
    yield "xmp-element", webp(plain, (b"XMP ", xmp(5, "element")))
    yield "xmp-first", webp(plain, (b"XMP ", xmp(6)), (b"XMP ", xmp(3)))
    yield "exif", webp(plain, (b"EXIF", tiff(short(6))))
    yield "exif-prefix", webp(plain, (b"EXIF", EXIF + tiff(short(6))))
    yield "order-exif-xmp", webp(plain, (b"EXIF", tiff(short(6))), (b"XMP ", xmp(3)))
    yield "order-xmp-exif", webp(plain, (b"XMP ", xmp(3)), (b"EXIF", tiff(short(6))))
    yield "order-exif-without-xmp", webp(plain, (b"EXIF", tiff(short(6, tag=0x0111))), (b"XMP ", xmp(3)))


def main():
    pythons = sys.argv[1:]
    os.makedirs(DATA, exist_ok=True)
    plain = {kind: subprocess.run([pythons[0], "-c", MAKE, kind], capture_output=True, check=True).stdout for kind in ("JPEG", "WEBP")}
    cases = [(name + ".png", data) for name, data in png_cases()]
    cases += [(name + ".jpg", data) for name, data in jpeg_cases(plain["JPEG"])]
    cases += [(name + ".webp", data) for name, data in webp_cases(plain["WEBP"])]
    for name, data in cases:
        with open(f"{DATA}/{name}", "wb") as file:
            file.write(data)
    names = [name for name, _ in cases]
    seen = [json.loads(subprocess.run([python, "-c", SEE, *names], capture_output=True, check=True, cwd=DATA).stdout)
            for python in pythons]
    with open(f"{DATA}/table.csv", "w", encoding="utf-8") as table:
        table.write(",".join(["file", *(version for version, _ in seen)]) + "\n")
        table.writelines(",".join([name, *(str(found[name]) for _, found in seen)]) + "\n" for name in names)


main()
