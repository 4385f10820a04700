"""Maps as numbers: one ``.npz`` with names and units, the same bytes for the same maps."""

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr_attnviz.drawing.provenance import NO_SETTINGS, origin_of
from detr_attnviz.errors import OutputError
from detr_attnviz.explanation import Explanation, Samples
from detr_attnviz.files import write_atomically

_UNITS = {
    "boxes_xyxy_px": "[queries 4] left, top, right, bottom in pixels of the original upright picture",
    "grid": "rows, cols, stride_px (in input pixels), height_px, width_px of the original picture, "
    "input_height_px, input_width_px of the resized picture that the model saw",
    "labels": "[queries] class ids, -1 where scores are NaN",
    "names": "[queries] class names",
    "queries": "[queries] numbers of the object queries",
    "scores": "[queries] class probability, 0-1",
}
_POINTS = {"points_xy_px": "[points 2] x, y in pixels of the original upright picture"}
_MAPS = {
    "cross": "[queries rows cols]; cell (row, col) covers input pixels [col*stride, (col+1)*stride) x [row*stride, …)",
    "encoder": "[points rows cols]; cell (row, col) covers input pixels [col*stride, (col+1)*stride) x [row*stride, …)",
    "decoder-self": "[queries all_queries]; how much each chosen query takes from every query",
}
_TERMS = {
    "terms": "[queries] what each map is a part of: queries (or points) repeat, one map after the other",
    "shares": "[queries] each map's share in the whole; those of one query sum to 1, or are 0 where nothing differs",
}
_SAMPLES = {
    "sample_places_xy_px": "[queries samples 2] x, y in pixels of the original upright picture, or outside it",
    "sample_weights": "[queries samples] shares of attention; those of a query sum to 1 over all levels",
    "sample_levels": "[samples] the feature map that each sample was taken from, 0 the finest",
    "level_strides_px": "[levels] each feature map's stride in input pixels",
    "references_xy_px": "[queries 2] what offsets start from, as sample_places_xy_px",
}
_EVERYONE = {
    "all_boxes_xyxy_px": "[all_queries 4] as boxes_xyxy_px",
    "all_labels": "[all_queries] as labels",
    "all_scores": "[all_queries] class probability, 0-1",
}


def write_arrays(explanation: Explanation, path: Path, settings: Mapping[str, Any] = NO_SETTINGS) -> None:
    """Writes the maps and what they are of as ``.npz``; ``numpy.load(path)`` needs no pickle.

    Raises: OutputError when the file cannot be written.
    """
    write_atomically(path, array_bytes(explanation, settings))


def check_are_ours(path: Path) -> None:
    """That the arrays there, if there are any, are of maps: somebody's own, beside a picture, would be lost.

    Raises: OutputError.
    """
    if not os.path.isfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            held = set(archive.namelist())
    except (OSError, zipfile.BadZipFile, NotImplementedError):
        held = set()
    if not {"maps.npy", "README.npy"} <= held:
        raise OutputError(f"{path} exists and holds no maps, which would take its place: give the picture another name")


def array_bytes(explanation: Explanation, settings: Mapping[str, Any] = NO_SETTINGS) -> bytes:
    """The bytes of that file: arrays by name, and ``README``, a JSON text of axes, units, origin and ``settings``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        arrays = {**_arrays(explanation), "README": np.array(_readme(explanation, settings))}
        for name, values in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # else the bytes would depend on the operating system
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
    return buffer.getvalue()


def _arrays(explanation: Explanation) -> dict[str, NDArray[Any]]:
    seen, grid = explanation.detections, explanation.grid
    arrays: dict[str, NDArray[Any]] = {
        "maps": np.ascontiguousarray(explanation.maps),
        "queries": np.array([one.index for one in seen], dtype=np.int64),
        "labels": np.array([one.label for one in seen], dtype=np.int64),
        "names": np.array([one.name for one in seen], dtype=np.str_),
        "scores": np.array([one.score for one in seen], dtype=np.float32),
        "boxes_xyxy_px": np.array([one.box for one in seen], dtype=np.float32).reshape(-1, 4),
        "points_xy_px": np.array(explanation.points, dtype=np.float64).reshape(-1, 2),
        "grid": np.array(
            [
                grid.rows,
                grid.cols,
                grid.stride_px,
                grid.height_px,
                grid.width_px,
                grid.input_height_px,
                grid.input_width_px,
            ],
            dtype=np.float64,
        ),
    }
    if explanation.terms:
        arrays["terms"] = np.array(explanation.terms, dtype=np.str_)
        arrays["shares"] = np.array(explanation.shares, dtype=np.float64)
    if explanation.rest:
        arrays["rest"] = np.array(explanation.rest, dtype=np.float64)
    if explanation.samples is not None:
        arrays |= _samples(explanation.samples)
    if explanation.kind == "decoder-self":
        everyone = explanation.everyone
        arrays["all_boxes_xyxy_px"] = np.array([one.box for one in everyone], dtype=np.float32).reshape(-1, 4)
        arrays["all_labels"] = np.array([one.label for one in everyone], dtype=np.int64)
        arrays["all_scores"] = np.array([one.score for one in everyone], dtype=np.float32)
    return arrays


def _samples(samples: Samples) -> dict[str, NDArray[Any]]:
    return {
        "sample_places_xy_px": np.ascontiguousarray(samples.places),
        "sample_weights": np.ascontiguousarray(samples.weights),
        "sample_levels": np.array(samples.levels, dtype=np.int64),
        "level_strides_px": np.array(samples.strides_px, dtype=np.float64),
        "references_xy_px": np.ascontiguousarray(samples.references),
    }


def _readme(explanation: Explanation, settings: Mapping[str, Any]) -> str:
    meaning = {"maps": f"{_MAPS[explanation.kind]}; a value is {explanation.quantity}", **_UNITS, **_POINTS}
    meaning |= _TERMS if explanation.terms else {}
    meaning |= (
        {"rest": f"[queries] the share of attention that is {explanation.rest_where}"} if explanation.rest else {}
    )
    meaning |= _SAMPLES if explanation.samples is not None else {}
    meaning |= _EVERYONE if explanation.kind == "decoder-self" else {}
    origin = origin_of(explanation, settings) | {"picture": explanation.provenance.get("picture", "")}
    return json.dumps({"arrays": meaning, "origin": origin}, indent=1, sort_keys=True)
