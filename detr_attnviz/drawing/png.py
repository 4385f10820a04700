"""A picture as the bytes of a PNG file, in less than half of the time that Pillow's own writer takes.

Pillow tries five filters on every line. Blended photographs are served nearly as well by one of them, Average, which
numpy applies to many lines at once; after it, strings seldom repeat, so that a search for them is time lost and
Huffman codes remain: 40 % of the time for 2 % fewer bytes, measured on overlays of 640 to 1280 pixels. White paper
and smooth maps repeat themselves: the filter Up and a short search. Which of the two is chosen band by band of 64
lines, as a map may stand above a photograph. Palette pictures of smooth maps are, after Up, mostly runs of 0 and ±1.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ZLIB_HEADER = b"\x78\x01"
_RGB, _PALETTE = 2, 3
_UP, _AVERAGE = 2, 3
_LONGEST_KEY = 79
_BAND = 64
_SAMPLED = 16
# A band with less of it plain than the first share is a photograph from edge to edge, with more than the second it
# is paper or a map; what lies between goes with the picture as a whole.
_PHOTOGRAPH, _PLAIN = 0.05, 0.3
_PLAIN_LEVEL = 3

_Bytes = NDArray[np.uint8]


def png_bytes(image: Image.Image, text: Mapping[str, str] | None = None) -> bytes:
    """``image`` as PNG, RGB or with its palette, with ``text`` in its text chunks; no time stamp.

    Source: PNG specification (third edition), sections 5 (chunks), 9 (filters) and 11.3.3 (text).
    """
    has_palette = image.mode == "P" and "transparency" not in image.info
    if not has_palette and image.mode != "RGB":
        image = image.convert("RGB")
    kind = _PALETTE if has_palette else _RGB
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", image.width, image.height, 8, kind, 0, 0, 0))]
    chunks += [(b"PLTE", bytes(image.getpalette("RGB") or ()))] if has_palette else []
    chunks += _text_chunks(text or {})
    pixels = np.asarray(image)
    chunks += [(b"IDAT", _packed_levels(pixels) if has_palette else _packed_colors(pixels)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_framed(name, data) for name, data in chunks)


def _packed_levels(levels: UInt8[np.ndarray, "height_px width_px"]) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    parts = [packer.compress(_minus_above(levels, top).data) for top in range(0, levels.shape[0], _BAND)]
    return b"".join(parts) + packer.flush()


def _packed_colors(colors: UInt8[np.ndarray, "height_px width_px 3"]) -> bytes:
    """One zlib stream, in which every run of bands of one kind has a packer of its own.

    Source: RFC 1950 (header and checksum) and RFC 1951; after a sync flush a stream may go on from anywhere.
    """
    flat = colors.reshape(colors.shape[0], -1)
    kinds = _kinds_of_bands(flat)
    packer = _packer(kinds[0])
    checksum, parts = zlib.adler32(b""), [_ZLIB_HEADER]
    for number, is_plain in enumerate(kinds):
        if number and is_plain != kinds[number - 1]:
            parts.append(packer.flush(zlib.Z_SYNC_FLUSH))
            packer = _packer(is_plain)
        filtered = (_minus_above if is_plain else _minus_average)(flat, number * _BAND).data
        checksum = zlib.adler32(filtered, checksum)
        parts.append(packer.compress(filtered))
    return b"".join([*parts, packer.flush(), struct.pack(">I", checksum)])


def _packer(is_plain: bool) -> "zlib._Compress":
    if is_plain:
        return zlib.compressobj(_PLAIN_LEVEL, zlib.DEFLATED, -15)
    return zlib.compressobj(1, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)


def _kinds_of_bands(flat: _Bytes) -> list[bool]:
    """Whether each band is plain."""
    as_a_whole = _plain_share(flat) > _PLAIN
    shares = [_plain_share(flat[top : top + _BAND]) for top in range(0, flat.shape[0], _BAND)]
    return [share > _PLAIN or (as_a_whole and share >= _PHOTOGRAPH) for share in shares]


def _plain_share(flat: UInt8[np.ndarray, "height_px bytes"]) -> float:
    """How many bytes equal both the one to the left and the one above, by every sixteenth line."""
    lines = flat[1::_SAMPLED]
    above = flat[:-1:_SAMPLED]
    is_plain = (lines[:, 3:] == lines[:, :-3]) & (lines == above)[:, 3:]
    return float(is_plain.mean()) if is_plain.size else 0.0


def _minus_above(flat: UInt8[np.ndarray, "height_px bytes"], top: int) -> UInt8[np.ndarray, "band_px line"]:
    """One band of lines, less the bytes above."""
    band, above, lines = _band(flat, top, _UP)
    np.subtract(band, above, out=lines[:, 1:])
    return lines


def _minus_average(flat: UInt8[np.ndarray, "height_px bytes"], top: int) -> UInt8[np.ndarray, "band_px line"]:
    """One band of lines, less the mean of the bytes above and to the left."""
    band, above, lines = _band(flat, top, _AVERAGE)
    left = np.zeros_like(band)
    left[:, 3:] = band[:, :-3]
    # (above & left) + (above ^ left) // 2 is the mean of two bytes, rounded down, without a ninth bit.
    np.subtract(band, (above & left) + ((above ^ left) >> 1), out=lines[:, 1:])
    return lines


def _band(flat: _Bytes, top: int, kind: int) -> tuple[_Bytes, _Bytes, _Bytes]:
    """Some lines from ``top`` on, the lines above each, and room for them behind their filter's number."""
    band = flat[top : top + _BAND]
    above = np.zeros_like(band)
    above[1:] = band[:-1]
    above[0] = flat[top - 1] if top else 0
    return band, above, np.full((band.shape[0], band.shape[1] + 1), kind, dtype=np.uint8)


def _text_chunks(text: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    for key, value in text.items():
        name = key.replace("\0", "").encode("latin-1", "replace")[:_LONGEST_KEY]
        words = value.replace("\0", "")
        try:
            yield b"tEXt", name + b"\0" + words.encode("latin-1")
        except UnicodeEncodeError:
            yield b"iTXt", name + b"\0\0\0\0\0" + words.encode("utf-8", "backslashreplace")


def _framed(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
