"""verify passes what is right and fails what is not."""

import math
from pathlib import Path

import pytest
import torch

import detr_attnviz as av
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.verification import SiteProof
from tests.tiny import drawn_picture, tiny_detector, write_picture


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
