"""What all figures of a trace have in common."""

import dataclasses
from typing import Any

import pytest
import torch

from detr_attnviz.drawing.prints.paper import TALLEST_MM, PrintOptions, size_mm
from detr_attnviz.figures.figure import figure
from tests.drawing.prints.sheets import cut_off, overlapping
from tests.tiny import drawn_picture, tiny_detector

LOW = PrintOptions(dpi=72)
OF_A_TRACE: dict[str, dict[str, Any]] = {
    "objects": {},
    "points": {"points": (10, 20)},
    "grid": {},
    "evolution": {},
    "methods": {},
}


@pytest.mark.parametrize("kind", OF_A_TRACE)
def test_notes_have_those_of_the_trace(kind: str) -> None:
    trace = tiny_detector().trace(drawn_picture())
    boxes = trace.boxes.clone()
    boxes[-1] = torch.nan
    trace = dataclasses.replace(trace, boxes=boxes)
    assert len(trace.notes) == 1
    assert figure(kind, trace, options=LOW, **OF_A_TRACE[kind]).notes[-1:] == trace.notes


@pytest.mark.parametrize("kind", OF_A_TRACE)
def test_file_name_that_is_not_utf8_is_one_line_that_encodes(kind: str) -> None:
    trace = dataclasses.replace(tiny_detector().trace(drawn_picture()), source="folder/x\n\udcff.png")
    drawn = figure(kind, trace, options=LOW, **OF_A_TRACE[kind])
    assert "x .png, detected by tiny" in drawn.caption
    for words in (drawn.caption, *drawn.provenance.values()):
        assert words.encode()
        assert "\n" not in words


@pytest.mark.parametrize("kind", OF_A_TRACE)
@pytest.mark.parametrize("width", [30, "column"])
def test_largest_letters_on_a_narrow_sheet_are_whole_and_off_each_other(kind: str, width: Any) -> None:
    trace = tiny_detector().trace(drawn_picture())
    options = PrintOptions(width=width, font_pt=14, dpi=150)
    drawn = figure(kind, trace, options=options, **OF_A_TRACE[kind])
    assert not cut_off(drawn.figure)
    assert not overlapping(drawn.figure)
    assert size_mm(drawn.figure)[1] <= TALLEST_MM + 1e-6
    assert any(note.startswith("letters are ") for note in drawn.notes) is (
        width == 30 or kind not in ("objects", "points")
    )


@pytest.mark.parametrize("kind", ["grid", "evolution", "methods"])
def test_caption_says_how_the_query_was_chosen(kind: str) -> None:
    trace = tiny_detector().trace(drawn_picture())
    assert "(the best of 10 that score at least 0)" in figure(kind, trace, options=LOW, threshold=0).caption
    assert "the best" not in figure(kind, trace, options=LOW, query=3).caption
