"""From an explanation to the files that a picture gets, as bytes with their rows; writes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from detr_attnviz.batch import names
from detr_attnviz.batch.arrays import array_bytes
from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.batch.rows import Row
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.drawing.panels import draw_one
from detr_attnviz.drawing.png import png_bytes
from detr_attnviz.drawing.provenance import origin_of, target_of, text_of
from detr_attnviz.drawing.render import render
from detr_attnviz.explanation import Explanation


@dataclass(frozen=True, slots=True)
class MadeFile:
    """One file: its name below the output folder, its bytes, and what the manifest says of its content.

    A row holds one map's fields itself, and those of several as a list ``maps``.
    """

    name: str
    data: bytes
    row: Row


def make_files(explanation: Explanation, settings: BatchSettings, location: str) -> Iterator[MadeFile]:
    """Every file of one picture, one at a time so that only one is held; none when nothing was chosen.

    Raises: ChoiceError for a style that cannot show this kind of map.
    """
    if not len(explanation):
        return
    for style in settings.styles:
        drawing = replace(settings.drawing, style=style)
        origin = origin_of(explanation, settings.as_row(drawing))
        if settings.per == "query":
            yield from _files_of_each(explanation, drawing, location, origin)
        else:
            sheet = png_bytes(render(explanation, drawing), text_of(explanation))
            yield _file_of_all(explanation, sheet, style, location, origin)
    if settings.has_arrays:
        about = settings.as_row()
        data = array_bytes(explanation, about)
        yield _file_of_all(explanation, data, names.ARRAYS, location, origin_of(explanation, about))


def _file_of_all(explanation: Explanation, data: bytes, export: str, location: str, origin: Row) -> MadeFile:
    maps = [target_of(explanation, index) for index in range(len(explanation))]
    return MadeFile(names.image_file(location, export), data, {"export": export, "maps": maps, **origin})


def _files_of_each(explanation: Explanation, drawing: DrawingOptions, location: str, origin: Row) -> Iterator[MadeFile]:
    done: set[str] = set()
    for index in range(len(explanation)):
        name = _name(explanation, index, drawing.style, location)
        if name not in done:  # the same query may have been named twice
            done.add(name)
            data = png_bytes(draw_one(explanation, index, drawing), text_of(explanation, index))
            yield MadeFile(name, data, {"export": drawing.style, **target_of(explanation, index), **origin})


def _name(explanation: Explanation, index: int, style: str, location: str) -> str:
    term = explanation.terms[index] if explanation.terms else ""
    if explanation.kind == "encoder":
        number = index // (len(set(explanation.terms)) or 1)
        return names.point_file(location, number, *explanation.points[index], style, term)
    seen = explanation.detections[index]
    return names.query_file(location, seen.index, seen.name, style, term)
