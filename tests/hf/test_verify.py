"""verify passes transformers' own models, and fails whatever reads their attention in another way."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from detr_attnviz.checkpoints.read import read
from detr_attnviz.detector import Detector
from detr_attnviz.families.base import Origin
from detr_attnviz.families.hf_open import Asked, open_saved
from detr_attnviz.proof import OWN_TOLERANCE, SiteProof
from detr_attnviz.recording.sampled import SampledRecord
from detr_attnviz.sites import AttentionSite
from detr_attnviz.verification import verify
from tests.hf import saved, tiny_dense
from tests.hf.saved import EVERY, save_folder, write
from tests.hf.tiny_dense import WITH_MASK
from tests.hf.tiny_sampled import WITH_TEXT

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 132, 3), dtype=np.uint8))


def opened(model_type: str, folder: Path, size: Mapping[str, int] | None = None, **changes: Any) -> Detector:
    """A detector of transformers whose attention is stirred: as initialised, everybody would look everywhere alike."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved, "tiny", tiny_dense.tiny)
        save_folder(model_type, folder, **changes)
    if size is not None:
        write(folder / "preprocessor_config.json", size=size)
    found = read(folder)
    asked = Asked(text="A cat. remote dog" if model_type in WITH_TEXT else None)
    return Detector(open_saved(found.args, found.tensors, Origin(model_type, str(folder)), asked))


def proof_of(detector: Detector, name: str) -> SiteProof:
    return next(site for site in verify(detector, IMAGE).sites if site.site == name)


def reading(detector: Detector, name: str, change: Callable[[Any], Any]) -> Detector:
    """The detector with what one site's reader gives changed."""

    def changed(site: AttentionSite) -> AttentionSite:
        read: Any = site.read
        if site.name != name:
            return site
        return dataclasses.replace(site, read=lambda module, args, kwargs: change(read(module, args, kwargs)))

    family: Any = detector.family
    family._sites = tuple(changed(site) for site in family.sites())
    return Detector(family)


@pytest.mark.parametrize("model_type", EVERY)
def test_every_site_of_every_family_is_proven(model_type: str, tmp_path: Path) -> None:
    detector = opened(model_type, tmp_path)
    proof = verify(detector, IMAGE)
    assert proof.output_unchanged
    assert proof.passed
    assert proof.unproven == ()
    assert [site.site for site in proof.sites] == [site.name for site in detector.sites]
    assert {site.tolerance for site in proof.sites} == {OWN_TOLERANCE}
    forms = {"weights": "dense", "output": "sampled", "nothing": ""}
    assert [forms[site.against] for site in proof.sites] == [site.form for site in detector.sites]


@pytest.mark.parametrize("case", ["rt_detr_v2", "d_fine"])
def test_reading_whole_cells_is_proven(case: str, tmp_path: Path) -> None:
    assert verify(opened(case, tmp_path, decoder_method="discrete"), IMAGE).passed


@pytest.mark.parametrize("model_type", ["lw_detr", "rf_detr"])
def test_windows_of_pictures_that_are_not_square_are_proven(model_type: str, tmp_path: Path) -> None:
    proof = verify(opened(model_type, tmp_path, {"height": 64, "width": 128}), IMAGE)
    assert [site.shape for site in proof.sites[:2]] == [(2, 32, 32)] * 2
    assert proof.passed


@pytest.mark.parametrize("model_type", WITH_MASK)
def test_padding_gets_nothing(model_type: str, tmp_path: Path) -> None:
    masses = {site.site: site.padding_mass for site in verify(opened(model_type, tmp_path), IMAGE).sites}
    assert {name for name, mass in masses.items() if mass == 0.0} == {
        *(f"encoder.{layer}.self" for layer in range(2)),
        *(f"decoder.{layer}.cross" for layer in range(2)),
    }
    assert masses["decoder.0.self"] is None


def test_padding_that_the_reader_does_not_hide_fails(tmp_path: Path) -> None:
    unmasked = reading(
        opened("conditional_detr", tmp_path), "decoder.1.cross", lambda call: dataclasses.replace(call, mask=None)
    )
    proof = verify(unmasked, IMAGE)
    assert not proof.passed
    assert [site.site for site in proof.sites if not site.passed] == ["decoder.1.cross"]
    assert (proof.sites[-1].padding_mass or 0) > 0.01


def test_a_backbone_that_looks_at_padding_itself_is_not_blamed(tmp_path: Path) -> None:
    proof = verify(opened("lw_detr", tmp_path), IMAGE)
    assert {site.padding_mass for site in proof.sites} == {None}


@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        ("detr", "encoder.0.self"),
        ("dab-detr", "decoder.1.cross"),
        ("yolos", "decoder.0.cross"),
        ("lw_detr", "encoder.0.self"),
        ("rf_detr", "encoder.1.self"),
        ("rt_detr", "encoder.0.self"),
        ("grounding-dino", "decoder.0.self"),
    ],
)
@pytest.mark.parametrize("what", ["scale", "heads", "tokens"])
def test_a_wrong_reading_of_dense_attention_fails(model_type: str, name: str, what: str, tmp_path: Path) -> None:
    changes: Mapping[str, Callable[[Any], Any]] = {
        "scale": lambda call: dataclasses.replace(call, scale=1.01 * call.scale),
        "heads": lambda call: dataclasses.replace(call, query=call.query.flip(1), key=call.key.flip(1)),
        "tokens": lambda call: dataclasses.replace(call, key=call.key.roll(1, 2)),
    }
    wrong = reading(opened(model_type, tmp_path), name, changes[what])
    proof = proof_of(wrong, name)
    assert not proof.passed
    assert (proof.difference or 0) > 10 * OWN_TOLERANCE


SAMPLED: Mapping[str, Callable[[Any], Any]] = {
    "levels in another order": lambda call: dataclasses.replace(
        call, levels=tuple(len(call.shapes) - 1 - level for level in call.levels)
    ),
    "offsets the other way": lambda call: dataclasses.replace(
        call, locations=2 * call.reference[:, None, :, None] - call.locations
    ),
    "half the offsets": lambda call: dataclasses.replace(
        call, locations=(call.reference[:, None, :, None] + call.locations) / 2
    ),
    "x for y": lambda call: dataclasses.replace(call, locations=call.locations.flip(-1)),
    "another head's weights": lambda call: dataclasses.replace(call, weights=call.weights.flip(1)),
    "half a cell off": lambda call: dataclasses.replace(call, locations=call.locations + 0.5 / call.shapes[0][1]),
}


@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        ("deformable_detr", "encoder.1.self"),
        ("deformable_detr", "decoder.0.cross"),
        ("d_fine", "decoder.1.cross"),
        ("mm-grounding-dino", "encoder.0.self"),
    ],
)
@pytest.mark.parametrize("what", SAMPLED)
def test_a_wrong_reading_of_sampled_attention_fails(model_type: str, name: str, what: str, tmp_path: Path) -> None:
    wrong = reading(opened(model_type, tmp_path), name, SAMPLED[what])
    proof = proof_of(wrong, name)
    assert proof.against == "output"
    assert not proof.passed
    assert (proof.difference or 0) > 100 * OWN_TOLERANCE


def test_weights_that_do_not_sum_to_one_fail(tmp_path: Path) -> None:
    def doubled(call: Any) -> Any:
        return dataclasses.replace(call, weights=2 * call.weights)

    proof = proof_of(reading(opened("rt_detr", tmp_path), "decoder.1.cross", doubled), "decoder.1.cross")
    assert proof.row_error == pytest.approx(1, abs=1e-5)
    assert not proof.passed


def test_of_a_large_encoder_some_cells_from_the_first_to_the_last_are_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, list[int]]] = []
    right = SampledRecord.map

    def listening(self: SampledRecord, queries: Any = None, **options: Any) -> Any:
        asked.append((self.queries, list(queries)))
        return right(self, queries, **options)

    monkeypatch.setattr(SampledRecord, "map", listening)
    assert verify(opened("deformable_detr", tmp_path), IMAGE).passed
    (cells,) = {tuple(queries) for total, queries in asked if total > 100}
    assert len(cells) == 64
    assert (cells[0], cells[-1]) == (0, max(total for total, _ in asked) - 1)
    assert {tuple(queries) for total, queries in asked if total == 6} == {tuple(range(6))}


def test_the_model_is_as_it_was(tmp_path: Path) -> None:
    detector = opened("rf_detr", tmp_path)
    family: Any = detector.family
    model = family.model
    configs = {name: id(part.__dict__["config"]) for name, part in model.named_modules() if "config" in part.__dict__}
    hooks = _hooks(model)
    assert verify(detector, IMAGE).passed
    assert {name: id(model.get_submodule(name).__dict__["config"]) for name in configs} == configs
    assert _hooks(model) == hooks


def _hooks(model: nn.Module) -> list[int]:
    return [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()]


def test_a_mask_of_yes_and_no_reaches_eager_attention_as_numbers() -> None:
    from detr_attnviz.families.hf_truth import _additive

    mask = torch.tensor([[[[True, False]]]])
    assert _additive(mask).softmax(-1).tolist() == [[[[1.0, 0.0]]]]
    for other in (None, mask.float(), mask[0, 0]):
        found: Tensor | None = _additive(other)
        assert found is other
