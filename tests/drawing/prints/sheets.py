"""What is on a sheet: its words and where they stand, in millimetres from the top left corner."""

from dataclasses import dataclass
from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detr_attnviz.drawing.prints.paper import MM_PER_INCH, house_style, size_mm

_TOUCHING_MM = 0.05


@dataclass(frozen=True)
class Words:
    text: str
    left: float
    top: float
    right: float
    bottom: float
    size_pt: float


def words_of(figure: Figure) -> list[Words]:
    """All words, in the order of drawing."""
    with house_style():
        FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
        found = []
        for text in figure.axes[0].texts:
            box = text.get_window_extent()
            per_mm, height = figure.dpi / MM_PER_INCH, size_mm(figure)[1]
            left, right = box.x0 / per_mm, box.x1 / per_mm
            found.append(
                Words(
                    text.get_text(),
                    left,
                    height - box.y1 / per_mm,
                    right,
                    height - box.y0 / per_mm,
                    float(text.get_fontsize()),
                )
            )
    return found


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Words that lie on other words."""
    return [
        (one.text, other.text)
        for one, other in combinations(words_of(figure), 2)
        if min(one.right, other.right) - max(one.left, other.left) > _TOUCHING_MM
        and min(one.bottom, other.bottom) - max(one.top, other.top) > _TOUCHING_MM
    ]


def cut_off(figure: Figure) -> list[str]:
    """Words that reach over the sheet's edge."""
    width, height = size_mm(figure)
    return [
        one.text
        for one in words_of(figure)
        if one.left < -_TOUCHING_MM
        or one.top < -_TOUCHING_MM
        or one.right > width + _TOUCHING_MM
        or one.bottom > height + _TOUCHING_MM
    ]
