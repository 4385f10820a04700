"""A sheet a picture, written where a person looks for it: the call behind ``attnviz render``."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from PIL import Image

from detr_attnviz.batch.arrays import write_arrays
from detr_attnviz.batch.images import Picture, find_pictures
from detr_attnviz.batch.names import sheet_file
from detr_attnviz.batch.plan import settings_hash
from detr_attnviz.batch.rows import row_of, text_of
from detr_attnviz.detector import Detector
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.drawing.render import render
from detr_attnviz.drawing.write import save_picture, suffixes
from detr_attnviz.errors import ChoiceError, ImageError, OutputError
from detr_attnviz.explanation import Explanation
from detr_attnviz.files import reason_of
from detr_attnviz.methods.request import Request


@dataclass(frozen=True)
class RenderedSheet:
    """One picture's sheet. ``files`` is empty when nothing was chosen to show; ``remark`` says what to know of it."""

    picture: Path
    explanation: Explanation
    files: tuple[Path, ...]
    remark: str

    def as_json(self) -> dict[str, Any]:
        """The same as plain data, one row a map."""
        return {
            "picture": str(self.picture),
            "files": [str(path) for path in self.files],
            "remark": self.remark,
            "maps": [row_of(self.explanation, index) for index in range(len(self.explanation))],
        }


def render_files(
    detector: Detector,
    inputs: Sequence[str | Path],
    request: Request,
    drawing: DrawingOptions,
    *,
    output: Path | None = None,
    arrays: bool = False,
    shortest_px: int | None = None,
    longest_px: int | None = None,
) -> Iterator[RenderedSheet]:
    """Draws and writes a sheet for each picture, one after the other as the result is iterated over.

    ``output`` is a file (it has a picture's suffix) for a single picture, or a folder; without it the current
    folder. In a folder a sheet is called ``<picture>.<site>.<style>.png``; if that name is taken by anything but
    the same sheet of the same picture, it gets a number. ``arrays`` writes the maps as ``.npz`` beside it.

    Raises: ChoiceError, ImageError, OutputError; those about ``inputs`` and ``output`` before anything is drawn.
    """
    found = find_pictures(inputs)
    first = list(islice(found, 2))
    target = _Target(output, is_single=len(first) == 1)
    mark = settings_hash(detector, request, drawing, (shortest_px, longest_px))

    def sheets() -> Iterator[RenderedSheet]:
        for picture in chain(first, found):
            if picture.fault:
                raise ImageError(f"{picture.path}: {picture.fault}")
            trace = detector.trace(picture.path, shortest_px=shortest_px, longest_px=longest_px)
            explanation = request.answer(trace)
            files = _write(explanation, drawing, target, picture, mark, arrays) if len(explanation) else ()
            yield RenderedSheet(picture.path, explanation, files, request.remark(explanation))

    return sheets()


def _write(
    explanation: Explanation, drawing: DrawingOptions, target: "_Target", picture: Picture, mark: str, arrays: bool
) -> tuple[Path, ...]:
    sheet = render(explanation, drawing)
    path = target.path_for(picture, explanation, drawing.style, mark)
    save_picture(sheet, path, {**text_of(explanation), "settings_hash": mark})
    if not arrays:
        return (path,)
    write_arrays(explanation, path.with_suffix(".npz"))
    return path, path.with_suffix(".npz")


class _Target:
    """Where sheets go: one file, or names in a folder."""

    def __init__(self, output: Path | None, is_single: bool) -> None:
        folder = Path() if output is None else output
        is_file = not folder.is_dir() and bool(folder.suffix)
        if is_file and not is_single:
            raise ChoiceError(f"{folder} is one file, but there are several pictures: give a folder")
        if is_file and folder.suffix.lower() not in suffixes():
            raise ChoiceError(
                f"{folder} ends in {folder.suffix!r}: pictures can be written as {', '.join(suffixes())}; "
                "a folder of that name must be there already"
            )
        self.file = folder if is_file else None
        self.folder = folder.parent if is_file else folder

    def path_for(self, picture: Picture, explanation: Explanation, style: str, mark: str) -> Path:
        """The file for this sheet; its folder is made.

        Raises: ChoiceError when it is the picture itself, OutputError when the folder cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {self.folder}: {reason_of(error)}") from error
        if self.file is None:
            return self._free_name(picture, explanation, style, mark)
        if self.file.exists() and os.path.samefile(self.file, picture.path):
            raise ChoiceError(f"{self.file} is the picture itself, which is never overwritten: give another name")
        return self.file

    def _free_name(self, picture: Picture, explanation: Explanation, style: str, mark: str) -> Path:
        for number in count(1):
            name = sheet_file(picture.path.stem, explanation.site, explanation.head, style, number)
            path = self.folder / name
            if not os.path.lexists(path) or _is_same_sheet(path, picture, mark):
                return path
        raise AssertionError("unreachable")


def _is_same_sheet(path: Path, picture: Picture, mark: str) -> bool:
    """Whether an earlier command drew this very sheet: then it is drawn over."""
    try:
        with Image.open(path) as sheet:
            text = dict(sheet.info)
    except (OSError, ValueError, SyntaxError):
        return False
    source = text.get("picture")
    return (
        text.get("settings_hash") == mark
        and isinstance(source, str)
        and os.path.abspath(source) == os.path.abspath(picture.path)
    )
