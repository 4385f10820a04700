"""What a value shows of itself in a notebook."""

from io import BytesIO

import numpy as np
from PIL import Image

import detr_attnviz as av
from tests.tiny import drawn_picture, tiny_detector


def test_a_trace_shows_the_page_that_explore_makes() -> None:
    trace = tiny_detector().trace(drawn_picture())
    assert trace.explore(layers=-1, title="One").html == av.explore(trace, layers=-1, title="One").html


def test_an_explanation_shows_the_picture_that_render_draws() -> None:
    explanation = av.explain(tiny_detector().trace(drawn_picture()), queries=[1, 4])
    shown = explanation._repr_png_()
    assert shown is not None
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(shown))), np.asarray(av.render(explanation)))


def test_an_explanation_of_nothing_shows_no_picture() -> None:
    assert av.explain(tiny_detector().trace(drawn_picture()), queries=[])._repr_png_() is None
