"""Every figure by its name."""

import re

import pytest

import detr_attnviz as av
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.figures.figure import KINDS, figure
from detr_attnviz.trace import Trace
from tests.tiny import drawn_picture, tiny_detector

OF_A_TRACE = [kind for kind in KINDS if kind != "weights"]


@pytest.fixture(scope="module")
def trace() -> Trace:
    return tiny_detector().trace(drawn_picture())


@pytest.mark.parametrize("kind", OF_A_TRACE)
def test_paper_and_choices_reach_the_figure(trace: Trace, kind: str) -> None:
    asked = {"auto": True} if kind == "points" else {}
    drawn = figure(kind, trace, options=PrintOptions(dpi=100), width=60, threshold=0.0, **asked)
    assert drawn.kind == kind
    assert drawn.figure.get_size_inches()[0] * 25.4 == pytest.approx(60)
    assert drawn.figure.dpi == 100


@pytest.mark.parametrize("kind", KINDS)
def test_the_docstring_names_every_choice(kind: str) -> None:
    with pytest.raises(ChoiceError, match=f"figure {kind} has no choice nonsense: it has ") as error:
        figure(kind, "demo" if kind == "weights" else tiny_detector().trace(drawn_picture()), nonsense=1)
    own = re.findall(r"\w+", str(error.value).partition("it has ")[2].partition(", and of paper")[0])
    assert [name for name in own if name not in str(figure.__doc__)] == []


def test_what_cannot_be(trace: Trace) -> None:
    with pytest.raises(ChoiceError, match="no figure 'pie': figures are objects, points"):
        figure("pie", trace)
    with pytest.raises(ChoiceError, match=r"is drawn of a trace, detector\.trace\(picture\); found str"):
        figure("objects", "street.png")
    with pytest.raises(ChoiceError, match="figure grid has no choice kind"):
        figure("grid", trace, kind="encoder")


def test_a_word_for_methods_is_one_method(trace: Trace) -> None:
    assert "raw" in figure("methods", trace, methods="raw", threshold=0.0).caption


def test_it_is_public() -> None:
    assert av.figure is figure
