"""verify passes what is right and fails what is not."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import detr_attnviz as av
from detr_attnviz import verification
from detr_attnviz.detector import Detector
from detr_attnviz.errors import CaptureError
from detr_attnviz.proof import TOLERANCE, SiteProof, Verification
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.sites import Mixed
from tests.families.test_module import own_fork
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture, tiny_detector, write_picture

Tell = Callable[[Tensor | Mixed], None]
Stop = Callable[[], None]


def test_tiny_detector_passes(tmp_path: Path) -> None:
    proof = av.verify(tiny_detector(), write_picture(tmp_path / "x.png"))
    assert proof.passed
    assert proof.output_unchanged
    assert [site.shape for site in proof.sites] == [(4, 24, 24), *[(4, 10, 10), (4, 10, 24)] * 2]
    assert {site.padding_mass for site in proof.sites if site.site != "decoder.0.self"} >= {0.0}


def test_a_wrong_map_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    right = DenseRecord.map
    monkeypatch.setattr(DenseRecord, "map", lambda self, *args: right(self, *args).flip(1))  # heads in wrong order
    proof = av.verify(tiny_detector(), drawn_picture())
    assert not proof.passed
    assert proof.output_unchanged


def test_a_changed_output_fails() -> None:
    detector = tiny_detector()
    forward, calls = detector.family.forward, []

    def unsteady(inputs: dict[str, torch.Tensor]) -> object:
        calls.append(1)
        prediction = forward(inputs)
        prediction.logits.add_(len(calls))
        return prediction

    detector.family.forward = unsteady  # type: ignore[method-assign, assignment]
    proof = av.verify(detector, drawn_picture())
    assert not proof.output_unchanged
    assert not proof.passed


@pytest.mark.parametrize(
    "proof",
    [
        SiteProof("s", (1, 1, 1), math.nan, 0.0, None),
        SiteProof("s", (1, 1, 1), 0.0, math.nan, None),
        SiteProof("s", (1, 1, 1), 2e-6, 0.0, 0.0),
        SiteProof("s", (1, 1, 1), 0.0, 1e-3, 0.0),
        SiteProof("s", (1, 1, 1), 0.0, 0.0, 1e-12),
        SiteProof("s", (1, 1, 1), 0.0, 0.0, math.nan),
    ],
)
def test_bounds(proof: SiteProof) -> None:
    assert not proof.passed


def telling(detector: Detector, own: Callable[[nn.Module, Tell], Stop]) -> Detector:
    """The same detector, whose sites say by ``own`` what their modules do."""
    family: Any = detector.family
    family._sites = tuple(dataclasses.replace(site, own=own) for site in family.sites())
    return Detector(family)


def after(module: nn.Module, answer: Callable[[Any, tuple[Any, ...], Tensor], None]) -> Stop:
    return module.register_forward_hook(answer).remove


def weights_of_looking(module: nn.Module, tell: Tell) -> Stop:
    def answer(module: Any, args: tuple[Any, ...], output: Tensor) -> None:
        queries, memory, padding = args
        logits = module.heads(module.to_q(queries[None])) @ module.heads(module.to_k(memory)).mT / 8**0.5
        tell(logits.masked_fill(padding[:, None, None], -torch.inf).softmax(-1))

    return after(module, answer)


def mixed_of_looking(module: nn.Module, tell: Tell) -> Stop:
    def answer(module: Any, args: tuple[Any, ...], output: Tensor) -> None:
        tell(Mixed(module.heads(module.to_v(args[1])), module.to_out, output))

    return after(module, answer)


def mixed_of_reading(module: nn.Module, tell: Tell) -> Stop:
    """Each of three heads reads all 16 values of a cell, and what they read is added up."""

    def answer(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        x, _, maps = args
        values = torch.cat([level.flatten(2).mT for level in maps], 1)
        tell(
            Mixed(values[:, None].expand(-1, 3, -1, -1), lambda mixed: mixed.unflatten(-1, (3, 16)).sum(2), output - x)
        )

    return after(module, answer)


def test_sites_whose_modules_nobody_can_ask_are_not_proven() -> None:
    proof = av.verify(own_fork(), drawn_picture())
    assert proof.unproven == ("decoder.0.cross",)
    assert not proof.passed
    assert proof.output_unchanged
    assert proof.sites[0] == SiteProof("decoder.0.cross", (2, 7, 96), None, None, None, "nothing")


@pytest.mark.parametrize(("own", "against"), [(weights_of_looking, "weights"), (mixed_of_looking, "output")])
def test_attention_of_ones_own_is_proven_by_its_own(own: Any, against: str) -> None:
    proof = av.verify(telling(own_fork((176, 320)), own), drawn_picture())
    assert proof.passed
    assert [site.against for site in proof.sites] == [against]
    assert 0 <= (proof.sites[0].difference or 0) <= 1e-6


@pytest.mark.parametrize("own", [weights_of_looking, mixed_of_looking])
@pytest.mark.parametrize("change", [lambda maps: maps.flip(1), lambda maps: maps * 1.001, lambda maps: maps * math.nan])
def test_a_wrong_map_of_ones_own_fails(own: Any, change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = DenseRecord.map
    monkeypatch.setattr(DenseRecord, "map", lambda self, *args: change(right(self, *args)))
    proof = av.verify(telling(own_fork(), own), drawn_picture())
    assert proof.unproven == ()
    assert not proof.passed


def test_sampled_attention_of_ones_own_is_proven_by_its_output() -> None:
    assert av.verify(sampling_detector(), drawn_picture()).unproven == tuple(
        site.name for site in sampling_detector().sites
    )
    proof = av.verify(telling(sampling_detector(), mixed_of_reading), drawn_picture())
    assert proof.passed
    assert {site.against for site in proof.sites} == {"output"}


def test_no_site_left_unproven_hides_one_that_fails() -> None:
    proven, failed, unproven = (
        SiteProof("a", (1, 1, 1), 0.0, 0.0, None),
        SiteProof("b", (1, 1, 1), 1.0, 0.0, None),
        SiteProof("c", (1, 1, 1), None, None, None, "nothing"),
    )
    assert Verification((proven, unproven), True).passed
    assert not Verification((proven, failed, unproven), True).passed
    assert not Verification((unproven,), True).passed
    assert not Verification((), True).passed


def test_weights_of_another_shape_fail() -> None:
    def own(module: nn.Module, tell: Tell) -> Stop:
        return after(module, lambda module, args, output: tell(torch.ones(1, 2, 7, 5) / 5))

    (site,) = av.verify(telling(own_fork(), own), drawn_picture()).sites
    assert not site.passed
    assert site.difference == math.inf


def test_weights_of_sampled_attention_are_refused() -> None:
    def own(module: nn.Module, tell: Tell) -> Stop:
        return after(module, lambda module, args, output: tell(output))

    with pytest.raises(CaptureError, match="encoder.0.self is sampled attention.*tell a Mixed"):
        av.verify(telling(sampling_detector(), own), drawn_picture())


def test_large_maps_are_compared_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = av.verify(tiny_detector(), drawn_picture())
    monkeypatch.setattr(verification, "_CHUNK_VALUES", 4 * 24 * 7)
    asked: list[int] = []
    right = DenseRecord.map

    def listening(self: DenseRecord, queries: Any = None) -> Tensor:
        asked.append(self.tokens * (self.queries if queries is None else len(queries)))
        return right(self, queries)

    monkeypatch.setattr(DenseRecord, "map", listening)
    parts = av.verify(tiny_detector(), drawn_picture())
    assert max(asked) <= 24 * 7
    assert parts.passed
    assert [site.shape for site in parts.sites] == [site.shape for site in whole.sites]
    assert {site.padding_mass for site in parts.sites if site.site != "decoder.0.self"} >= {0.0}


def test_a_failing_part_of_a_large_map_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_CHUNK_VALUES", 4 * 24 * 7)
    right = DenseRecord.map

    def last_is_wrong(self: DenseRecord, queries: Any = None) -> Tensor:
        return right(self, queries if queries is None else [min(query, 22) for query in queries])

    monkeypatch.setattr(DenseRecord, "map", last_is_wrong)
    proof = av.verify(tiny_detector(), drawn_picture())
    assert [site.site for site in proof.sites if not site.passed] == ["encoder.0.self"]


def test_rounding_of_large_logits_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = tiny_detector()
    with torch.no_grad():
        for site in detector.sites:
            site.module.get_parameter("in_proj_weight").mul_(3)
    right = DenseRecord._products
    monkeypatch.setattr(DenseRecord, "_products", lambda self, *args: right(self, *args) * (1 + 2**-18))
    proof = av.verify(detector, drawn_picture())
    assert proof.passed
    assert max(site.difference or 0 for site in proof.sites) > TOLERANCE
    assert {site.tolerance for site in proof.sites} != {TOLERANCE}
    monkeypatch.setattr(DenseRecord, "_products", lambda self, *args: right(self, *args) * (1 + 2**-14))
    assert not av.verify(detector, drawn_picture()).passed


def test_nan_is_what_fails_and_not_that_the_output_differs() -> None:
    detector = tiny_detector()
    with torch.no_grad():
        detector.sites[0].module.get_parameter("in_proj_weight")[0, 0] = math.nan
    proof = av.verify(detector, drawn_picture())
    assert proof.output_unchanged
    assert not proof.passed
    assert "encoder.0.self: the map or the module's own weights holds NaN" in proof.fault


@pytest.mark.parametrize(
    ("proof", "fault"),
    [
        (
            SiteProof("s", (1, 1, 1), 2e-6, 0.0, None),
            "s: the map differs from the module's own weights by 2.0e-06, and",
        ),
        (SiteProof("s", (1, 1, 1), 2e-5, 0.0, None, "output", 1e-5), "s: the map differs from the module's own output"),
        (SiteProof("s", (1, 1, 1), math.inf, math.inf, None), "s: the map has another shape"),
        (SiteProof("s", (1, 1, 1), 0.0, 1e-3, None), "s: a row of the map sums to 1 ± 1.0e-03"),
        (SiteProof("s", (1, 1, 1), 0.0, 0.0, 0.25), "s: a query gives 0.25 of its attention to padding"),
        (SiteProof("s", (1, 1, 1), 0.0, 0.0, math.nan), "s: the map or the module's own weights holds NaN"),
        (SiteProof("s", (1, 1, 1), 0.0, math.nan, None), "s: the map or the module's own weights holds NaN"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(proof: SiteProof, fault: str) -> None:
    assert proof.fault.startswith(fault)
    assert not proof.passed


def test_the_worst_site_speaks() -> None:
    fine, bad, worse, unproven = (
        SiteProof("a", (1, 1, 1), 0.0, 0.0, 0.0),
        SiteProof("b", (1, 1, 1), 1e-5, 0.0, None),
        SiteProof("c", (1, 1, 1), 1e-4, 0.0, None, "output", 1e-5),
        SiteProof("d", (1, 1, 1), None, None, None, "nothing"),
    )
    assert Verification((fine, bad, worse, unproven), True).fault.startswith(("b:", "c:"))
    assert Verification((fine, bad, SiteProof("n", (1, 1, 1), math.nan, 0.0, None)), True).fault[0] == "n"
    assert Verification((fine, unproven), True).fault == ""
    assert Verification((unproven,), True).fault == ""
    assert Verification((fine,), False).fault.startswith("the model's output is another")


def test_a_module_that_writes_nothing_is_proven_all_the_same() -> None:
    def own(module: nn.Module, tell: Tell) -> Stop:
        def answer(module: Any, args: tuple[Any, ...], output: Tensor) -> None:
            value = torch.zeros_like(module.heads(module.to_v(args[1])))
            tell(Mixed(value, lambda mixed: mixed, 0 * output))

        return after(module, answer)

    proof = av.verify(telling(own_fork(), own), drawn_picture())
    assert proof.passed


def test_output_that_is_not_finite_fails_and_is_not_called_changed() -> None:
    detector = tiny_detector()
    detector.family.model.class_embed.weight.data[1] = float("nan")  # type: ignore[attr-defined]
    proof = av.verify(detector, drawn_picture())
    assert proof.not_finite == ("logits",)
    assert proof.output_unchanged
    assert not proof.passed
