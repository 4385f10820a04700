"""Letters that fit their sheet."""

from detr_attnviz.drawing.prints.fonts import HOLE
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.figures.letters import ONE_PICTURE, PANELS, fitting, missing_letters
from tests.drawing.scenes import detections, photo


def test_letters_that_fit_stay_as_they_were_asked_for() -> None:
    asked = PrintOptions(width="column", font_pt=9)
    assert fitting(asked, PANELS) == (asked, ())
    assert fitting(None, PANELS) == (PrintOptions(), ())


def test_letters_too_large_for_the_sheet_become_smaller_with_a_note() -> None:
    used, notes = fitting(PrintOptions(width=60, font_pt=14, dpi=72), ONE_PICTURE)
    assert used == PrintOptions(width=60, font_pt=10, dpi=72)
    assert notes == ("letters are 10 pt, not 14: 60 mm have no room for larger ones",)
    assert fitting(PrintOptions(width=30, font_pt=14), PANELS)[0].font_pt == 4


def test_letters_that_the_font_lacks_are_noted() -> None:
    (note,) = missing_letters(detections(2, photo(), ("汉字", "汉 cat")))
    assert "汉字" in note
    assert HOLE in note
    assert not missing_letters(detections(2, photo(), ("cat", "größer")))
