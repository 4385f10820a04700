"""The print font: which letters it has, how wide words are in millimetres, and how an SVG carries it along."""

import base64
import functools
import io
import re
import unicodedata
from pathlib import Path

import matplotlib
from fontTools import subset  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

from detr_attnviz.drawing import text

FAMILY = "DejaVu Sans"
"""The font that matplotlib brings along."""
HOLE = "□"
"""Stands for a letter that the font lacks."""

_MM_PER_PT = 25.4 / 72
_MEASURED_PX = 200
# A renderer may hint letters a little wider than they are.
_ALLOWANCE = 1.02
_FILES = {"normal": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf"}
_TEXT = re.compile(r"<text\b([^>]*)>(.*?)</text>", re.DOTALL)
_STYLE = re.compile(r"""\bstyle=(["'])(.*?)\1""", re.DOTALL)
_BOLD = re.compile(r"(?:^|;)\s*font(?:-weight)?:[^;]*(?<![\w.-])(?:bold|700)(?![\w.-])")
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}


def printable(words: str) -> str:
    """The words as one line in letters that the font has; others become ``HOLE``."""
    has = _letters()
    return "".join(char if ord(char) in has else HOLE for char in _visible(words))


def lacking(words: str) -> str:
    """The letters of ``words`` that the font lacks, each once, as they come."""
    has = _letters()
    return "".join(dict.fromkeys(char for char in _visible(words) if ord(char) not in has))


def turns(words: str) -> bool:
    """Whether any of the words runs from right to left."""
    return any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in words)


def width_mm(words: str, size_pt: float, *, is_bold: bool = False) -> float:
    """The width of one printed line."""
    face = text.font(_MEASURED_PX, is_bold)
    return text.width_of(words, face) * _ALLOWANCE * size_pt * _MM_PER_PT / _MEASURED_PX


def shortened(words: str, size_pt: float, most_mm: float, tail: str = "") -> str:
    """``words + tail`` cut with … to a width; the tail goes last, as a whole."""
    return text.shorten(words, text.font(_MEASURED_PX), _in_px(most_mm, size_pt), tail)


def wrapped(words: str, size_pt: float, most_mm: float, most_lines: int) -> list[str]:
    """The words as lines of a width."""
    return text.wrap(words, text.font(_MEASURED_PX), _in_px(most_mm, size_pt), most_lines)


def line_mm(size_pt: float) -> float:
    """From one line's baseline to the next one's."""
    return 1.3 * size_pt * _MM_PER_PT


def with_embedded_fonts(svg: str) -> str:
    """The SVG with those letters of the font inside that its text elements use."""
    used: dict[str, set[str]] = {}
    for attributes, words in _TEXT.findall(svg):
        used.setdefault(_weight(attributes), set()).update(_unescaped(words))
    if not used:
        return svg
    faces = "".join(_font_face(weight, "".join(sorted(used[weight]))) for weight in sorted(used))
    head, mark, rest = svg.partition("<defs>")
    assert mark, "matplotlib writes its style into <defs>"
    return f'{head}{mark}\n  <style type="text/css">{faces}</style>{rest}'


def _weight(attributes: str) -> str:
    style = _STYLE.search(attributes)
    return "bold" if style and _BOLD.search(style[2]) else "normal"


def _visible(words: str) -> str:
    # matplotlib's PDF writer gives the marks of direction a width, and sets what follows too far to the left.
    return "".join(char for char in text.clean(words) if unicodedata.category(char) != "Cf")


def _font_face(weight: str, letters: str) -> str:
    data = base64.b64encode(_subset(weight, letters)).decode()
    return (
        f"@font-face {{font-family: '{FAMILY}'; font-weight: {weight}; "
        f"src: url(data:font/woff;base64,{data}) format('woff')}}"
    )


def _subset(weight: str, letters: str) -> bytes:
    options = subset.Options(flavor="woff", hinting=False)
    options.drop_tables += ["FFTM", "MATH"]
    with subset.load_font(str(_file(weight)), options) as face:
        face.recalcTimestamp = False
        worker = subset.Subsetter(options)
        worker.populate(text=letters)
        worker.subset(face)
        buffer = io.BytesIO()
        subset.save_font(face, buffer, options)
    return buffer.getvalue()


def _unescaped(words: str) -> str:
    for entity, char in _ENTITIES.items():
        words = words.replace(entity, char)
    return words


@functools.cache
def _letters() -> frozenset[int]:
    with TTFont(_file("normal"), lazy=True) as face:
        return frozenset(face.getBestCmap())


def _file(weight: str) -> Path:
    return Path(matplotlib.get_data_path(), "fonts", "ttf", _FILES[weight])


def _in_px(width: float, size_pt: float) -> float:
    return width / _ALLOWANCE / size_pt / _MM_PER_PT * _MEASURED_PX
