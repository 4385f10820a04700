"""Draws `methods.png`: the same objects by the methods of one map a query, side by side, with the demo weights."""

from pathlib import Path

from PIL import Image

import detr_attnviz as av
from detr_attnviz.drawing import mosaic, panels
from detr_attnviz.drawing.captions import Caption
from detr_attnviz.drawing.mosaic import Legend
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.drawing.write import save_png
from detr_attnviz.explanation import Explanation

FOLDER = Path(__file__).parent
PICTURE = FOLDER / "shapes_landscape.png"
METHODS = ("raw", "value-norm", "rollout", "attn-gradcam", "relevance", "gradcam")
OBJECTS = 3
PANEL_PX = 300


def main() -> None:
    trace = av.load("demo", device="cpu").trace(PICTURE)
    chosen = av.select(trace, top_k=OBJECTS)
    columns = [av.explain(trace, method=method, queries=chosen) for method in METHODS]
    save_png(sheet(columns), FOLDER / "methods.png")


def sheet(columns: list[Explanation]) -> Image.Image:
    """A row per object, a column per method, every map in its own range."""
    options = DrawingOptions()
    image = columns[0].image.copy()
    image.thumbnail((PANEL_PX, PANEL_PX))
    rows = range(len(columns[0]))
    layout = mosaic.plan(
        [_caption(explanation, row) for row in rows for explanation in columns],
        ["The same objects by six methods"],
        Legend("0", "the panel's peak"),
        lambda longest_px: image.size,
        PANEL_PX,
        4000,
        len(columns),
        text_px=17,
    )
    pictures = [
        panels.panel_picture(explanation, row, options, image, panels.ceilings(explanation, options)[row])
        for row in rows
        for explanation in columns
    ]
    return mosaic.paint(layout, pictures, lambda size: panels.color_bar(columns[0], options, size))


def _caption(explanation: Explanation, row: int) -> Caption:
    seen = explanation.detections[row]
    is_first = explanation.method == METHODS[0]
    above = f"{seen.name} {seen.score:.2f}, query {seen.index}" if is_first else ""
    return Caption(explanation.method, notes=() if explanation.maps[row].any() else ("zero everywhere",), above=above)


if __name__ == "__main__":
    main()
