"""The page's document: the model, its words, and each picture with its detections, sites and methods' maps."""

import base64
from collections.abc import Iterator
from typing import get_args

import numpy as np

from detr_attnviz.detections import Detection
from detr_attnviz.drawing.captions import name_of
from detr_attnviz.drawing.colormap import PACKED, table
from detr_attnviz.drawing.text import clean
from detr_attnviz.explanation import Kind
from detr_attnviz.explorer.arrays import Arrays, Row
from detr_attnviz.explorer.dense import dense_site
from detr_attnviz.explorer.grids import grid_row
from detr_attnviz.explorer.images import image_row
from detr_attnviz.explorer.sampled import sampled_site
from detr_attnviz.explorer.wanted import Wanted
from detr_attnviz.explorer.words import words_row
from detr_attnviz.methods.definitions import definition_of
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.select import FALLBACK, select
from detr_attnviz.plain import finite_or_null
from detr_attnviz.recording.sampled import SampledRecord
from detr_attnviz.trace import Trace


def document_row(pictures: list[Row], model: Row, title: str) -> Row:
    """The whole document; ``title`` is what it shows unless given; numbers that are not finite are None."""
    row: Row = {
        "version": 1,
        "software": model["provenance"]["software"],
        "title": title,
        "model": model,
        "colormaps": _colormaps(),
        "words": words_row(
            {kind: [site for one in pictures for site in one["kinds"][kind]] for kind in get_args(Kind)}
        ),
        "pictures": pictures,
    }
    finite: Row = finite_or_null(row)
    return finite


def model_row(trace: Trace, threshold: float) -> Row:
    """Which checkpoint the maps are of."""
    detector = trace.detector
    return {
        "name": clean(detector.name),
        "provenance": {name: clean(value) for name, value in detector.provenance.items()},
        "notes": [clean(note) for note in detector.notes],
        "threshold": threshold,
        "is_sampled": any(site.form == "sampled" for site in detector.sites),
        "queries": len(trace.detections),
    }


def picture_row(trace: Trace, wanted: Wanted, arrays: Arrays) -> Row:
    """The entry of one picture, but for its name, which depends on the others'."""
    notes = list(trace.notes)
    image = image_row(trace.image, arrays)
    kinds = {kind: list(_sites(trace, wanted.sites(trace, kind), wanted, arrays, notes)) for kind in get_args(Kind)}
    return {
        "width_px": trace.image.width,
        "height_px": trace.image.height,
        "image": image,
        "notes": [clean(note) for note in notes],
        "detections": [_detection_row(detection) for detection in trace.detections],
        "kinds": kinds,
        "methods": [_method_row(trace, name, wanted, arrays) for name in wanted.methods],
    }


def _sites(trace: Trace, names: list[str], wanted: Wanted, arrays: Arrays, notes: list[str]) -> Iterator[Row]:
    """Entries of the sites whose tokens lie on the picture's cells; ``notes`` is told of the others."""
    for name in names:
        if fault := _misfit(trace, name):
            notes.append(fault)
        elif trace.site(name).form == "sampled":
            yield sampled_site(trace, name, arrays, wanted.levels(trace))
        else:
            yield dense_site(trace, name, arrays)


def _misfit(trace: Trace, name: str) -> str:
    """Why a site's maps cannot be laid on the picture; "" if they can."""
    record, site, grid = trace.records[name], trace.site(name), trace.grid_of(name)
    if isinstance(record, SampledRecord):
        if record.shapes == tuple(level.canvas for level in trace.levels):
            return ""
        return f"{name} is left out: its feature maps are not as large as they were expected to be"
    cells = grid.canvas[0] * grid.canvas[1]
    sides = {"decoder-self": [], "decoder-cross": [record.tokens], "encoder-self": [record.queries, record.tokens]}
    wrong = [side for side in sides[site.kind] if side != cells]
    return f"{name} is left out: it has {wrong[0]} tokens, but the picture's grid {cells} cells" if wrong else ""


def _detection_row(detection: Detection) -> Row:
    return {
        "query": detection.index,
        "score": detection.score,
        "label": detection.label,
        "name": name_of(detection),
        "box": list(detection.box),
    }


def _method_row(trace: Trace, name: str, wanted: Wanted, arrays: Arrays) -> Row:
    """Maps of the queries that pass the threshold, or of the best ones."""
    queries = select(trace, threshold=wanted.threshold, fallback=FALLBACK)
    explanation = explain(trace, method=name, queries=queries)
    terms = list(dict.fromkeys(explanation.terms)) or [""]
    return {
        "name": name,
        "site": explanation.site,
        "head": explanation.head,
        "title": _TITLES.get(name, name),
        "quantity": explanation.quantity,
        "is_signed": explanation.is_signed,
        "terms": terms,
        "definition": definition_of(explanation),
        "grid": grid_row(explanation.grid),
        "queries": list(queries),
        "maps": arrays.add(explanation.maps),
        "shares": list(explanation.shares),
    }


def _colormaps() -> Row:
    """The tables that need no further package, 256 RGB colours each."""
    tables = {name: table(name) for name in PACKED}
    tables["gray"] = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    return {name: base64.b64encode(colors.tobytes()).decode() for name, colors in tables.items()}


_TITLES = {
    "rollout": "Rollout",
    "attn-gradcam": "Attention Grad-CAM",
    "relevance": "Relevance",
    "value-norm": "Value norm",
    "decompose": "Terms of the logit",
    "gradcam": "Grad-CAM",
}
