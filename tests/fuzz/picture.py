"""Target: files that claim to be pictures, made upright RGB."""

import io
import struct
import tempfile
import zlib
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageCms

from detr_attnviz.errors import AttnVizError
from detr_attnviz.pictures import read_picture
from tests.fuzz.answers import must_be_one_line
from tests.fuzz.noise import WHOLE, changed_bytes, one_in

SPARE_BYTES = 2200 << 20
"""Pillow reads pictures of up to 179 million pixels, however small their files are; each takes up to 12 bytes."""

_MODES = {
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "JPEG": ("RGB", "L", "CMYK"),
    "GIF": ("P", "L"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("RGB", "RGBA", "L", "1", "P", "CMYK", "I;16", "F", "LAB"),
    "BMP": ("RGB", "L", "1"),
}
_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
_OTHERS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) print\n%%EOF\n",
    b"P6 9 9 255\n" + bytes(243),
    b"\x00\x00\x01\x00\x01\x00\x10\x10\x00\x00\x01\x00\x20\x00\x28\x01\x00\x00\x16\x00\x00\x00" + bytes(300),
    b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    b"#define x_width 9\n#define x_height 2\nstatic char x_bits[] = {0x00, 0x01, 0x02, 0x03};\n",
    b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800),
    b"8BPS\x00\x01" + bytes(6) + b"\x00\x03\x00\x00\x00\x09\x00\x00\x00\x09\x00\x08\x00\x03" + bytes(200),
    b"",
    b"\x89PNG\r\n\x1a\n",
)


@cache
def seeds() -> tuple[bytes, ...]:
    """Small pictures of every kind and mode, turned, with a profile, of several frames."""
    found = [_saved(kind, mode) for kind, modes in _MODES.items() for mode in modes]
    found += [_saved("TIFF", "RGB", compression=compression) for compression in _COMPRESSIONS]
    exif = Image.Exif()
    exif[0x0112] = 6
    found += [_saved(kind, "RGB", exif=exif) for kind in ("JPEG", "PNG", "WEBP", "TIFF")]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found += [_saved(kind, "RGB", icc_profile=profile) for kind in ("JPEG", "PNG", "TIFF")]
    found += [_saved("JPEG", "CMYK", icc_profile=profile), _saved("PNG", "P", transparency=0)]
    frames = [Image.new("RGB", (9, 7), color) for color in ("red", "blue")]
    found += [_saved(kind, "RGB", save_all=True, append_images=frames) for kind in ("GIF", "TIFF", "PNG")]
    found += [_saved("JPEG", "RGB", progressive=True), _saved("PNG", "RGB", width_px=300)]
    return (*found, *_OTHERS)


def _saved(kind: str, mode: str, width_px: int = 13, **options: object) -> bytes:
    values = np.arange(width_px * 9 * 3).reshape(9, width_px, 3).astype(np.uint8)
    picture = Image.fromarray(values)
    if mode == "I;16":
        picture = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    elif mode == "LAB":
        picture = Image.frombytes("LAB", picture.size, values.tobytes())
    else:
        picture = picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def generate(random: Random) -> bytes:
    """A picture with its fields or bytes changed."""
    data = random.choice(seeds())
    for _ in range(random.choice((1, 1, 2, 3))):
        data = mutate(data, random)
    return data


def mutate(data: bytes, random: Random) -> bytes:
    """One change, by what kind of picture it is."""
    if data.startswith(b"\x89PNG") and not one_in(random, 4):
        return _changed_png(data, random)
    if data.startswith((b"II*\0", b"MM\0*")) and not one_in(random, 4):
        return _changed_tiff(data, random)
    if data.startswith(b"\xff\xd8") and not one_in(random, 4):
        return _changed_jpeg(data, random)
    return changed_bytes(data, random)


def _changed_png(data: bytes, random: Random) -> bytes:
    """One chunk dropped, doubled, renamed or changed, its check sum right again."""
    chunks: list[tuple[bytes, bytes]] = []
    place = 8
    while place + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[place : place + 8])
        chunks.append((name, data[place + 8 : place + 8 + size]))
        place += 12 + size
    if not chunks:
        return changed_bytes(data, random)
    index = random.randrange(len(chunks))
    name, content = chunks[index]
    action = random.randrange(6)
    if action == 0:
        del chunks[index]
    elif action == 1:
        chunks.insert(index, (name, content))
    elif action == 2:
        name = random.choice((b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"zTXt", b"iTXt"))
        chunks.insert(index, (name, content if one_in(random, 2) else random.randbytes(9)))
    elif action == 3 and name == b"IDAT":
        chunks[index] = name, zlib.compress(bytes(random.choice((0, 10, 100_000))))
    else:
        chunks[index] = name, _with_number(content, random, ">")
    found = data[:8]
    for name, content in chunks:
        found += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return found


def _changed_tiff(data: bytes, random: Random) -> bytes:
    """A field of an entry of its first directory made another number."""
    order = "<" if data[:2] == b"II" else ">"
    if len(data) < 8:
        return changed_bytes(data, random)
    (start,) = struct.unpack(order + "I", data[4:8])
    if start + 2 > len(data):
        return changed_bytes(data, random)
    (count,) = struct.unpack(order + "H", data[start : start + 2])
    entry = start + 2 + 12 * random.randrange(max(count, 1))
    offset, width = random.choice(((0, 2), (2, 2), (4, 4), (8, 4), (8, 2)))
    number = random.choice((*WHOLE, 258, 259, 262, 277, 317, 322, 325, 339, 34377, 34675)) % (1 << 8 * width)
    packed = struct.pack(order + ("H" if width == 2 else "I"), number)
    return data[: entry + offset] + packed + data[entry + offset + width :]


def _changed_jpeg(data: bytes, random: Random) -> bytes:
    """A number within a segment changed, or a segment's marker."""
    places = [place for place in range(len(data) - 4) if data[place] == 0xFF and data[place + 1] not in (0, 0xFF)]
    if not places:
        return changed_bytes(data, random)
    place = random.choice(places)
    if one_in(random, 3):
        return data[: place + 1] + bytes([random.randrange(0xC0, 0x100)]) + data[place + 2 :]
    end = place + 4 + random.choice((2, 8, 20))
    return data[: place + 2] + _with_number(data[place + 2 : end], random, ">") + data[end:]


def _with_number(content: bytes, random: Random, order: str) -> bytes:
    width, code = random.choice(((1, "B"), (2, "H"), (4, "I")))
    if len(content) < width:
        return random.randbytes(random.choice((0, 1, 4, 13)))
    place = random.randrange(len(content) - width + 1)
    number = struct.pack(order + code, random.choice(WHOLE) % (1 << 8 * width))
    return content[:place] + number + content[place + width :]


def run(data: bytes) -> None:
    """Reads it: one of our errors, or an upright RGB picture with pixels."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(data)
        try:
            picture = read_picture(path)
        except AttnVizError as error:
            must_be_one_line(error)
            return
        assert picture.mode == "RGB"
        assert min(picture.size) > 0
        assert len(picture.tobytes()) == 3 * picture.width * picture.height
