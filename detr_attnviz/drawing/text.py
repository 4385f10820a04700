"""Text that is measured before it is drawn: fonts, cleaning, shortening and wrapping.

Names are data: whatever they hold (line breaks, control characters, emoji, 200 letters, right-to-left) becomes one
quiet line that fits its place.
"""

import functools
import importlib.util
import unicodedata
from pathlib import Path

from PIL import ImageFont

ELLIPSIS = "…"
NO_BREAK = "\N{NO-BREAK SPACE}"
_LEFT_TO_RIGHT = "\N{LEFT-TO-RIGHT MARK}"
_MARKS_IN_A_ROW = 2

Font = ImageFont.FreeTypeFont
Rect = tuple[float, float, float, float]


@functools.lru_cache(maxsize=64)
def font(size_px: int, bold: bool = False) -> Font:
    """DejaVu Sans, as matplotlib ships it (found without importing matplotlib), otherwise Pillow's own font."""
    path = _font_file("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    if path is not None:
        return ImageFont.truetype(str(path), size_px)
    fallback = ImageFont.load_default(size_px)
    assert isinstance(fallback, Font)  # a size was given: Pillow answers with a scalable font
    return fallback


@functools.lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """One line: white space collapsed, no control or direction characters, no lone surrogates, no towers of marks.

    Right-to-left text is enclosed in marks that keep what stands beside it (a score) in its place.
    """
    kept: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(char)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if char in (NO_BREAK, _LEFT_TO_RIGHT):
            kept.append(char)
        elif char.isspace():
            kept.append(" ")
        elif kind not in ("Cc", "Cf", "Cs") and marks <= _MARKS_IN_A_ROW:
            kept.append(char)
    line = " ".join(part for part in "".join(kept).split(" ") if part)
    turns = any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in line)
    return f"{_LEFT_TO_RIGHT}{line}{_LEFT_TO_RIGHT}" if turns and line[0] != _LEFT_TO_RIGHT else line


@functools.lru_cache(maxsize=8192)
def width_of(text: str, face: Font) -> float:
    """Width in pixels that nothing of the text reaches past."""
    return float(max(face.getlength(text), face.getbbox(text, anchor="ls")[2])) if text else 0.0


def line_height(face: Font) -> int:
    """From one line's baseline to the next one's."""
    ascent, descent = face.getmetrics()
    return round((ascent + descent) * 1.12)


def baseline_px(face: Font) -> int:
    """From a line's top to its baseline; most of the room between lines is above, where marks stand on letters."""
    ascent, descent = face.getmetrics()
    return ascent + round(0.8 * (line_height(face) - ascent - descent))


def rect_of(text: str, face: Font, x: float, baseline: float) -> Rect:
    """What the text covers when it is drawn at (x, baseline)."""
    left, top, right, bottom = face.getbbox(text, anchor="ls")
    return x + left, baseline + top, x + right, baseline + bottom


def shorten(text: str, face: Font, width: float, tail: str = "") -> str:
    """``text + tail`` with as much of the text's end replaced by … as needed; the tail goes last, as a whole."""
    if width_of(text + tail, face) <= width:
        return text + tail
    end = ELLIPSIS + (_LEFT_TO_RIGHT if text.endswith(_LEFT_TO_RIGHT) else "") + tail
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width_of(text[:middle].rstrip() + end, face) <= width:
            low = middle
        else:
            high = middle - 1
    short = text[:low].rstrip() + end
    if width_of(short, face) <= width:
        return short
    return shorten(tail.strip(), face, width) if tail else ""


def wrap(text: str, face: Font, width: float, most_lines: int) -> list[str]:
    """At most ``most_lines`` lines, broken at spaces; a word or rest that does not fit ends in …."""
    lines: list[str] = []
    words = text.split(" ")
    while words and len(lines) < most_lines - 1:
        count = 1
        while count < len(words) and width_of(" ".join(words[: count + 1]), face) <= width:
            count += 1
        lines.append(shorten(" ".join(words[:count]), face, width))
        words = words[count:]
    if words:
        lines.append(shorten(" ".join(words), face, width))
    return [line for line in lines if line]


@functools.cache
def _font_file(name: str) -> Path | None:
    spec = importlib.util.find_spec("matplotlib")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder, "mpl-data", "fonts", "ttf", name)
        if path.is_file():
            return path
    return None
