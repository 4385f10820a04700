"""Pictures as strangers send them: every kind, sizes at the edge, broken in every way; built in code, seeded."""

import struct
import zlib
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
ENDINGS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "TIFF": "tif",
    "BMP": "bmp",
    "GIF": "gif",
    "PPM": "ppm",
    "JPEG2000": "jp2",
    "AVIF": "avif",
}
Image.init()
KINDS = tuple(kind for kind in ENDINGS if kind in Image.SAVE)
"""Every kind that is read, as far as this Pillow has it, by Pillow's name."""
POSTSCRIPT = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 40 30
%%EndComments
0 0 40 30 rectfill
showpage
%%EOF
"""


def colours(width_px: int = 40, height_px: int = 30) -> Image.Image:
    """Four quarters of different colours, so that no turn or flip looks like another."""
    image = Image.new("RGB", (width_px, height_px), (250, 250, 250))
    across, down = max(width_px // 2, 1), max(height_px // 2, 1)
    image.paste((220, 30, 30), (0, 0, across, down))
    image.paste((30, 160, 30), (across, 0, width_px, down))
    image.paste((30, 30, 200), (0, down, across, height_px))
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The picture as a file of that kind, nearly without loss."""
    best: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 95},
    }
    file = BytesIO()
    image.save(file, kind, **{**best.get(kind, {}), **options})
    return file.getvalue()


def exif_of(orientation: int, *, order: str = ">", field: int = 3) -> bytes:
    """EXIF with one entry, its bytes in either order; a ``field`` other than 3 is not the number that it must be."""
    start = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HI", 42, 8)
    return b"Exif\0\0" + start + struct.pack(f"{order}HHHIHHI", 1, ORIENTATION, field, 1, orientation, 0, 0)


@cache
def sound() -> dict[str, bytes]:
    """Whole files, some of them odd, by a name that says what they are; every one shows ``colours()`` or a part."""
    image = colours()
    grey16 = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    palette = image.quantize(8)
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    plain = {f"plain.{ENDINGS[kind]}": encoded(image, kind) for kind in KINDS}
    swapped = {
        f"{kind}-called.{ENDINGS[other]}": encoded(image, kind)
        for kind, other in zip(KINDS, (*KINDS[1:], KINDS[0]), strict=True)
    }
    animated = {
        f"animated.{ENDINGS[kind]}": encoded(image, kind, save_all=True, append_images=[clear.convert("RGB")] * 2)
        for kind in ("GIF", "WEBP", "TIFF", "PNG")
    }
    return {
        **plain,
        **swapped,
        **animated,
        "no-suffix": encoded(image, "PNG"),
        "one-pixel.png": encoded(image.crop((0, 0, 1, 1)), "PNG"),
        "one-pixel.jpg": encoded(image.crop((0, 0, 1, 1)), "JPEG"),
        "wide.png": encoded(colours(10_000, 1), "PNG"),
        "tall.jpg": encoded(colours(1, 10_000), "JPEG"),
        "black-and-white.png": encoded(image.convert("1"), "PNG"),
        "black-and-white.tif": encoded(image.convert("1"), "TIFF", compression="group4"),
        "sixteen-bits.png": encoded(grey16, "PNG"),
        "sixteen-bits.tif": encoded(grey16, "TIFF"),
        "sixteen-bits.ppm": b"P6 2 1 65535\n" + struct.pack(">6H", 65535, 0, 0, 0, 0, 65535),
        "float.tif": encoded(Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 255), "TIFF"),
        "thirty-two-bits.tif": encoded(Image.fromarray(np.asarray(image.convert("L")).astype(np.int32) << 16), "TIFF"),
        "ink.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "ink.tif": encoded(image.convert("CMYK"), "TIFF"),
        "lab.tif": encoded(Image.new("LAB", (40, 30), (128, 128, 128)), "TIFF"),
        "palette.png": encoded(palette, "PNG", transparency=1),
        "palette-of-alphas.png": encoded(palette, "PNG", transparency=bytes(range(0, 256, 32))),
        "palette.gif": encoded(palette, "GIF", transparency=1),
        "clear.png": encoded(clear, "PNG"),
        "clear.webp": encoded(clear, "WEBP"),
        "clear-grey.png": encoded(clear.convert("LA"), "PNG"),
        "one-clear-colour.png": encoded(image, "PNG", transparency=(220, 30, 30)),
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
        "deflated.tif": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg-inside.tif": encoded(image, "TIFF", compression="jpeg"),
        "with-a-tail.png": encoded(image, "PNG") + b"<?php tail ?>" * 50,
        "profile-that-is-none.jpg": encoded(image, "JPEG", icc_profile=b"no profile" * 30),
        "two-in-one.jpg": encoded(image, "MPO", save_all=True, append_images=[image]),
    }


@cache
def damaged_exif() -> dict[str, bytes]:
    """JPEGs with whole pixels, and EXIF that says nothing of the way up, or cannot be read."""
    image = colours()
    good = exif_of(6)
    return {
        "nought.jpg": encoded(image, "JPEG", exif=exif_of(0)),
        "nine.jpg": encoded(image, "JPEG", exif=exif_of(9)),
        "largest.jpg": encoded(image, "JPEG", exif=exif_of(65535)),
        "word.jpg": encoded(image, "JPEG", exif=exif_of(0x3636, field=2)),
        "garbage.jpg": encoded(image, "JPEG", exif=b"Exif\0\0" + b"\xff" * 60),
        "only-a-name.jpg": encoded(image, "JPEG", exif=b"Exif\0\0"),
        "cut-in-head.jpg": encoded(image, "JPEG", exif=good[:12]),
        "leads-nowhere.jpg": encoded(image, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"),
        "leads-in-circles.jpg": encoded(
            image, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0"
        ),
        "garbage.png": encoded(image, "PNG", exif=b"Exif\0\0" + b"\xff" * 60),
        "garbage.webp": encoded(image, "WEBP", exif=b"Exif\0\0" + b"\xff" * 60),
    }


@cache
def broken() -> dict[str, bytes]:
    """Files that are no whole picture."""
    image = Image.effect_noise((64, 48), 60).convert("RGB")
    whole = {kind: encoded(image, kind) for kind in KINDS}
    halves = {f"half.{ENDINGS[kind]}": data[: len(data) // 2] for kind, data in whole.items()}
    heads = {f"head.{ENDINGS[kind]}": data[:40] for kind, data in whole.items()}
    return {
        **halves,
        **heads,
        "empty.jpg": b"",
        "one-byte.png": b"\x89",
        "text.jpg": b"not a picture\n",
        "page.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "zeros.png": bytes(4096),
        "archive.png": b"PK\x03\x04" + bytes(60),
        "no-pixels.png": png(0, 0),
        "no-height.bmp": bmp(4, 0),
        "no-frame.gif": b"GIF89a\x04\0\x04\0\0\0\0;",
        "wrong-sum.png": whole["PNG"][:60] + b"\0" + whole["PNG"][61:],
        "circle.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "long-tag.tif": b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 256, 4, 0x7FFFFFFF, 8) + bytes(4),
        "colours-nobody-has.png": png(4, 4, depth=16, colour=3),
    }


@cache
def other_kinds() -> dict[str, tuple[bytes, str]]:
    """Kinds that Pillow knows and that are not read, whatever they are called, and a word that names them."""
    return {
        "postscript.jpg": (POSTSCRIPT, "EPS"),
        "icon.png": (encoded(colours(32, 32), "ICO"), "ICO"),
        "photoshop.jpg": (b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30, 40, 8, 3) + bytes(12), "PSD"),
        "metafile.bmp": (b"\xd7\xcd\xc6\x9a\0\0" + bytes(60), "WMF"),
        "stubs.tif": (b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5"),
    }


@cache
def giants(side_px: int = 60_000) -> dict[str, bytes]:
    """A few hundred bytes each that claim 3,600 megapixels (of GIF 4,295, of WebP 268, which is all that fits)."""
    tags = {256: side_px, 257: side_px, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: side_px, 279: side_px}
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16_382).to_bytes(3, "little") * 2
    frame = b"VP8L" + struct.pack("<I", 6) + b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14) + b"\0"
    return {
        "giant.png": png(side_px, side_px),
        "giant.jpg": bytes.fromhex("ffd8ffc0000b08")
        + struct.pack(">HH", side_px, side_px)
        + bytes.fromhex("01011100ffda0008010100003f00"),
        "giant.tif": b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + fields + bytes(4),
        "giant.bmp": bmp(side_px, side_px),
        "giant.gif": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0,"
        b"\0\0\0\0" + struct.pack("<HH", 65_535, 65_535) + b"\0\x02\0;",
        "giant.ppm": b"P6 %d %d 255\n" % (side_px, side_px),
        "giant.webp": b"RIFF" + struct.pack("<I", 4 + len(chunk + frame)) + b"WEBP" + chunk + frame,
        "giant-called.jpg": png(side_px, side_px),
    }


@cache
def bombs(size: int = 400_000_000) -> dict[str, bytes]:
    """Small pictures with something in them that unpacks to ``size`` bytes."""
    packer = zlib.compressobj()
    packed = b"".join(packer.compress(bytes(10_000_000)) for _ in range(size // 10_000_000)) + packer.flush()
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_000_000)))
    return {
        "text.png": png(4, 4, chunk(b"zTXt", b"Comment\0\0" + packed)),
        "international.png": png(4, 4, chunk(b"iTXt", b"Comment\0\1\0\0\0" + packed)),
        "profile.png": png(4, 4, chunk(b"iCCP", b"profile\0\0" + packed)),
        "texts.png": png(4, 4, text * (size // 1_000_000)),
        "pixels.png": png(4, 4, pixels=packed),
    }


def png(
    width_px: int,
    height_px: int,
    *chunks: bytes,
    depth: int = 8,
    colour: int = 0,
    pixels: bytes | None = None,
) -> bytes:
    """A PNG of zeros that may claim any size; its pixels are those of the first 4×4 only."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(20)) if pixels is None else pixels)
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bmp(width_px: int, height_px: int) -> bytes:
    """A BMP that may claim any size, with no pixel."""
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, width_px, height_px, 1, 24, 0, 0, 0, 0, 0, 0)


def names() -> Iterator[str]:
    """Names that a file can have on Linux and that trip programs up, all ending in ``.png``."""
    yield from (
        "new\nline.png",
        "return\r\ttab.png",
        "emoji 🦓👩‍🚀.png",
        "dots..and...more..png",
        "a...png",
        "-leading-dash.png",
        "@at.png",
        "#hash.png",
        "\x1b[31mred\x1b[0m\x07.png",
        "\u202egnp.exe\u2066.png",
        "quote\"'`$(touch mark).png",
        "[bold]markup.png",
        ":zebra: smile.png",
        "100%s {0} %n.png",
        "<script>alert(1).png",
        "no-utf8-\udcff\udcfe.png",
        "trailing dot..png",
        " space .png",
        "a\\b.png",
        "con.png",
        "z" * 251 + ".png",
        "ü" * 125 + "z.png",
    )
