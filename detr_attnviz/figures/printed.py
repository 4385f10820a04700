"""A figure for print with its caption, and how both are written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from detr_attnviz.drawing.prints.paper import FileKind, print_bytes
from detr_attnviz.errors import OutputError
from detr_attnviz.figures.captions import SIGNED_WORDS
from detr_attnviz.files import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS: tuple[str, ...] = get_args(FileKind)


@dataclass(frozen=True, eq=False)
class PrintedFigure:
    """A sheet and the words that belong under it.

    ``kind`` is the figure's ("objects", "points" …), ``provenance`` goes into the file, and ``notes`` tell what the
    reader of a paper need not know: what was left out, what had to be assumed.
    """

    figure: "Figure"
    caption: str
    kind: str
    provenance: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def save(self, path: str | PathLike[str]) -> tuple[Path, Path]:
        """Writes the figure as ``path`` ends (.png, .pdf, .svg) and its caption beside it as .txt: both or neither.

        Raises: OutputError for another ending, for a .txt that is no caption, or when a file cannot be written.
        """
        path = Path(path)
        words = path.with_suffix(".txt") if path.name else path
        data = print_bytes(self.figure, _kind_of(path), self.provenance)
        _check_is_ours(words)
        with whole(words) as caption, whole(path) as figure:
            caption.write_text(f"{self.caption}\n", encoding="utf-8", errors="replace")
            figure.write_bytes(data)
        return path, words

    def _repr_png_(self) -> bytes:
        return print_bytes(self.figure, "png", self.provenance)


def _kind_of(path: Path) -> FileKind:
    kind = path.suffix[1:].lower()
    if kind not in KINDS:
        found = f"ends in {path.suffix!r}" if path.suffix else "has no ending"
        raise OutputError(f"{path} {found}: figures are written as {', '.join(f'.{one}' for one in KINDS)}")
    return cast(FileKind, kind)


def _check_is_ours(words: Path) -> None:
    """A picture's .txt may hold its annotations, which nobody wants to lose."""
    if words.is_file() and SIGNED_WORDS not in words.read_text(encoding="utf-8", errors="replace"):
        raise OutputError(
            f"{words} exists and is no figure's caption, which would take its place: give the figure another name"
        )
