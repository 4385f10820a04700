from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detr_attnviz.detector import Detector
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explorer import sampled
from detr_attnviz.explorer.arrays import TOLERANCE
from detr_attnviz.explorer.page import explore
from detr_attnviz.recording.sampled import splat
from detr_attnviz.trace import Trace
from tests.explorer.reading import ReadPage, worst
from tests.methods import sampling
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture


@pytest.fixture
def detector() -> Detector:
    return sampling_detector()


def traced(detector: Detector) -> Trace:
    return detector.trace(drawn_picture(150, 110))


def changed(detector: Detector, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Trace:
    """A trace whose sites read their calls with ``changes``, functions of what they had."""

    def read(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        call = sampling.read(module, args, kwargs)
        return replace(call, **{name: change(getattr(call, name)) for name, change in changes.items()})

    monkeypatch.setitem(vars(detector), "sites", tuple(replace(site, read=read) for site in detector.sites))
    return traced(detector)


def maps_of(page: ReadPage, site: Any, level: int | None) -> Any:
    """What the page's places and weights come to, ``[heads rows cells]``."""
    places, weights = page.places(site)
    chosen = [index for index, of in enumerate(site["levels"]) if level in (None, of)]
    canvas = site["grid"]["canvas"] if level is None else site["shapes"][level]
    found = splat(torch.from_numpy(places[..., chosen, :]), torch.from_numpy(weights[..., chosen]), tuple(canvas))
    return found.maps.flatten(2).numpy()


@pytest.mark.parametrize("level", [None, 0, 1, 2])
def test_every_map_of_the_decoder_is_the_records(detector: Detector, level: int | None) -> None:
    trace = traced(detector)
    page = ReadPage(explore(trace))
    for site in page.sites("cross"):
        shape = None if level is not None else trace.grid.canvas
        true = trace.records.sampled(site["name"]).map(level=level, shape=shape).maps[0].flatten(2)
        assert worst(maps_of(page, site, level), true.numpy()) <= TOLERANCE
        assert site["error"] <= TOLERANCE
        assert site["rows"] is None


def test_a_site_says_how_it_is_counted(detector: Detector) -> None:
    trace = traced(detector)
    site = ReadPage(explore(trace)).sites("cross")[1]
    assert (site["name"], site["layer"], site["form"]) == ("decoder.1.cross", 1, "sampled")
    assert (site["heads"], site["queries"], site["samples"]) == (3, 5, 6)
    assert site["levels"] == [0, 0, 1, 1, 2, 2]
    assert site["shapes"] == [list(grid.canvas) for grid in trace.levels]
    assert site["strides_px"] == [8, 16, 32]
    filled = trace.levels[1].filled()
    assert site["level_grids"][1]["input_width_px"] == filled.input_width_px != trace.levels[1].input_width_px
    assert site["level_grids"][1]["canvas"] == list(trace.levels[1].canvas)
    assert site["grid"]["rows"] == trace.grid.rows


def test_of_an_encoder_the_coarse_cells_are_embedded(detector: Detector) -> None:
    trace = traced(detector)
    page = ReadPage(explore(trace))
    (site,) = page.sites("encoder")
    rows, cols = trace.levels[2].canvas
    assert [(own["level"], own["first"]) for own in site["rows"]] == [(2, 0)]
    assert site["queries"] == rows * cols
    before = sum(grid.tokens for grid in trace.levels[:2])
    record = trace.records.sampled("encoder.0.self")
    true = record.map(range(before, before + rows * cols), shape=trace.grid.canvas).maps[0].flatten(2)
    assert worst(maps_of(page, site, None), true.numpy()) <= TOLERANCE


def test_levels_asked_for_are_embedded_and_each_is_found_again(detector: Detector) -> None:
    trace = traced(detector)
    page = ReadPage(explore(trace, point_levels=(2, 0)))
    (site,) = page.sites("encoder")
    sizes = [grid.tokens for grid in trace.levels]
    assert [(own["level"], own["first"]) for own in site["rows"]] == [(0, 0), (2, sizes[0])]
    assert site["rows"][0]["grid"]["input_width_px"] == trace.levels[0].input_width_px
    places, _ = page.places(site)
    (token,) = trace.cells_at((70, 40), "encoder.0.self", level=2)
    row = sizes[0] + token - sizes[0] - sizes[1]
    np.testing.assert_allclose(
        places[:, row], trace.records.sampled("encoder.0.self").locations[0, :, token], atol=1e-5
    )


def test_a_level_that_is_not_there_is_refused(detector: Detector) -> None:
    with pytest.raises(ChoiceError, match="no level 3: levels are 0–2"):
        explore(traced(detector), point_levels=(3,))


def test_places_far_outside_keep_the_others_exact(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    def far(locations: Tensor) -> Tensor:
        moved = locations.clone()
        moved[:, :, 0] += 500.0
        return moved

    trace = changed(detector, monkeypatch, locations=far)
    page = ReadPage(explore(trace))
    site = page.sites("cross")[0]
    assert "scale" not in site["locations"]
    true = trace.records.sampled(site["name"]).map(range(1, 5), shape=trace.grid.canvas).maps[0].flatten(2).numpy()
    assert worst(maps_of(page, site, None)[:, 1:], true) <= TOLERANCE
    assert (maps_of(page, site, None)[:, 0] == 0).all()


def test_weights_of_very_different_queries_are_kept(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    def uneven(weights: Tensor) -> Tensor:
        share = torch.tensor([1.0, 1.0, 1e-4, 1.0, 1e-5])[torch.arange(weights.shape[2]) % 5]
        return weights * share[:, None]

    trace = changed(detector, monkeypatch, weights=uneven)
    page = ReadPage(explore(trace))
    site = page.sites("cross")[0]
    assert "scale" not in site["weights"]
    true = trace.records.sampled(site["name"]).map(shape=trace.grid.canvas).maps[0].flatten(2).numpy()
    assert worst(maps_of(page, site, None), true) <= TOLERANCE


def test_weights_that_are_not_finite_are_written_as_they_are(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(weights: Tensor) -> Tensor:
        changed = weights.clone()
        changed[:, 1, 2] = torch.nan
        return changed

    found = explore(changed(detector, monkeypatch, weights=broken))
    page = ReadPage(found)
    site = page.sites("cross")[0]
    _, weights = page.places(site)
    assert np.isnan(weights[1, 2]).all()
    assert np.isfinite(np.delete(weights, 2, axis=1)).all()
    assert found.largest_error <= TOLERANCE


def test_the_error_found_is_the_error_there_is(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = traced(detector)
    monkeypatch.setattr(sampled, "TOLERANCE", 1.0)
    monkeypatch.setattr(sampled, "_CHUNK_VALUES", 300)
    page = ReadPage(explore(trace))
    for site in page.sites("cross"):
        found = []
        for level in (None, 0, 1, 2):
            canvas = trace.grid.canvas if level is None else None
            true = trace.records.sampled(site["name"]).map(level=level, shape=canvas).maps[0].flatten(2).numpy()
            own = maps_of(page, site, level)
            found += [worst(own, true), worst(own.mean(0), true.mean(0))]
        assert "scale" in site["locations"]
        assert site["error"] == pytest.approx(max(found), rel=0.02)


def test_the_error_of_all_heads_together_counts() -> None:
    """Each head's peak is elsewhere, but both have the same small place wrong: their mean has it by twice as much."""
    middles = [[[0.1, 0.1], [0.9, 0.9]], [[0.9, 0.1], [0.9, 0.9]]]
    locations = torch.tensor(middles, dtype=torch.float64)[:, None]
    weights = torch.tensor([0.9, 0.1], dtype=torch.float64).expand(2, 1, 2)
    true = sampled._Read(locations, weights, torch.zeros(1, 2))
    own = sampled._Read(locations, weights + torch.tensor([0.0, 0.009]), torch.zeros(1, 2))
    assert sampled._apart(true, own, (0, 0), None, (5, 5)) == pytest.approx(0.02)


def test_point_levels_of_a_detector_without_a_sampled_encoder_are_refused(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_decoder = tuple(site for site in detector.sites if site.kind != "encoder-self")
    monkeypatch.setitem(vars(detector), "sites", only_decoder)
    with pytest.raises(ChoiceError, match="point level 0: .* no sampled attention.*leave it out"):
        explore(traced(detector), point_levels=(0,))
