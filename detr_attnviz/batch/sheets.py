"""A sheet a picture, written where a person looks for it: the call behind ``attnviz render``."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from detr_attnviz.batch.answers import answer
from detr_attnviz.batch.arrays import check_are_ours, write_arrays
from detr_attnviz.batch.faults import OF_A_PICTURE, of_this_picture
from detr_attnviz.batch.images import Picture, find_pictures
from detr_attnviz.batch.names import sheet_file
from detr_attnviz.batch.plan import Sides, settings_hash, settings_row
from detr_attnviz.batch.room import unheard
from detr_attnviz.batch.rows import Row, row_of
from detr_attnviz.batch.spare import Spare
from detr_attnviz.detector import Detector
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.drawing.provenance import text_of
from detr_attnviz.drawing.render import render
from detr_attnviz.drawing.write import save_picture, suffixes
from detr_attnviz.errors import ChoiceError, OutputError
from detr_attnviz.explanation import Explanation
from detr_attnviz.files import fault_of, is_one_of
from detr_attnviz.methods.request import Request
from detr_attnviz.pictures import text_inside
from detr_attnviz.plain import encodable


@dataclass(frozen=True)
class RenderedSheet:
    """One picture's sheet. ``files`` is empty when nothing was chosen to show; ``remark`` says what to know of it.

    ``settings`` are those that it was made with, as plain data.
    """

    picture: Path
    explanation: Explanation
    files: tuple[Path, ...]
    remark: str
    settings: Row

    def as_json(self) -> dict[str, Any]:
        """The same as plain data, one row a map."""
        return {
            "picture": str(self.picture),
            "files": [str(path) for path in self.files],
            "remark": self.remark,
            "maps": [row_of(self.explanation, index, self.settings) for index in range(len(self.explanation))],
        }


@dataclass(frozen=True)
class FailedPicture:
    """A picture that gave no sheet, and why."""

    picture: Path
    error: str

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {"picture": str(self.picture), "error": self.error}


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
    allow_cpu: bool = False,
    say: Callable[[str], None] = unheard,
) -> Iterator[RenderedSheet | FailedPicture]:
    """Draws and writes a sheet for each picture, one after the other as the result is iterated over.

    ``output`` is a file (it has a picture's suffix) for a single picture, or a folder; without it the current
    folder. In a folder a sheet is called ``<picture>.<site>.<style>.png`` (all of it in ``names.sheet_file``); if that
    name is taken by anything but the same sheet of the same picture, it gets a number. ``arrays`` writes the maps as
    ``.npz`` beside it. A picture that cannot be read, or answered, is reported and not raised; one that a GPU has no
    memory for is done on the CPU if ``allow_cpu``, and ``say`` is told so at the first.

    Raises: ChoiceError, OutputError; those about ``inputs`` and ``output`` before anything is drawn.
    """
    found = find_pictures(inputs)
    first = list(islice(found, 2))
    target = _Target(output, is_single=len(first) == 1)
    if target.file and is_one_of(target.file, (str(given)[1:] for given in inputs if str(given).startswith("@"))):
        raise ChoiceError(f"{target.file} is a list of inputs, which is never overwritten: give another name")
    spare = Spare(detector, say) if allow_cpu else None
    draw = _Drawing(detector, request.settled(detector), drawing, target, arrays, (shortest_px, longest_px), spare)
    return map(draw.result, chain(first, found))


class _Drawing:
    """From a picture to its sheet, with the settings of one command."""

    def __init__(
        self,
        detector: Detector,
        request: Request,
        drawing: DrawingOptions,
        target: "_Target",
        arrays: bool,
        sides_px: Sides,
        spare: Spare | None,
    ) -> None:
        self.detector = detector
        self.request = request
        self.drawing = drawing
        self.target = target
        self.arrays = arrays
        self.sides_px = sides_px
        self.spare = spare
        self.settings = settings_row(request, sides_px, drawing)
        self.mark = settings_hash(detector, self.settings)

    def result(self, picture: Picture) -> RenderedSheet | FailedPicture:
        """The sheet, written; or why there is none."""
        try:
            return self._sheet(picture)
        except OF_A_PICTURE as error:
            message = str(of_this_picture(error)).removeprefix(f"{picture.path}: ")
            return FailedPicture(picture.path, message)

    def _sheet(self, picture: Picture) -> RenderedSheet:
        explanation = answer(self.detector, picture, self.request, self.sides_px, self.spare)
        files = self._write(explanation, picture) if len(explanation) else ()
        return RenderedSheet(picture.path, explanation, files, explanation.provenance.get("note", ""), self.settings)

    def _write(self, explanation: Explanation, picture: Picture) -> tuple[Path, ...]:
        sheet = render(explanation, self.drawing)
        path = self.target.path_for(picture, explanation, self.drawing.style, self.mark)
        numbers = path.with_suffix(".npz")
        if self.arrays:
            check_are_ours(numbers)
        save_picture(sheet, path, {**text_of(explanation), "settings_hash": self.mark})
        if not self.arrays:
            return (path,)
        write_arrays(explanation, numbers, self.settings)
        return path, numbers


class _Target:
    """Where sheets go: one file, or names in a folder."""

    def __init__(self, output: Path | None, is_single: bool) -> None:
        folder = Path() if output is None else output
        is_file = not os.path.isdir(folder) and bool(folder.suffix)
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
        folder = self.folder if self.file else self.folder / Path(picture.location).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {folder}: {fault_of(error)}") from error
        if self.file is None:
            return _free_name(folder, picture, explanation, style, mark)
        if is_one_of(self.file, [picture.path]):
            raise ChoiceError(f"{self.file} is the picture itself, which is never overwritten: give another name")
        return self.file


def _free_name(folder: Path, picture: Picture, explanation: Explanation, style: str, mark: str) -> Path:
    for number in count(1):
        path = folder / sheet_file(
            picture.path.stem,
            explanation.site,
            explanation.method,
            explanation.head,
            style,
            number,
            term=explanation.term,
            level=explanation.level,
        )
        if not os.path.lexists(path) or _is_same_sheet(path, picture, mark):
            return path
    raise AssertionError("unreachable")


def _is_same_sheet(path: Path, picture: Picture, mark: str) -> bool:
    """Whether an earlier command drew this very sheet: then it is drawn over."""
    text = text_inside(path)
    source = text.get("picture")
    return (
        text.get("settings_hash") == mark
        and isinstance(source, str)
        and os.path.abspath(source) == os.path.abspath(encodable(str(picture.path)))
    )
