"""What besides its weights makes a model is in its provenance, so that results of another one are not taken for its."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.detector import Detector, load
from tests.hf.saved import save_folder, write
from tests.tiny import tiny_detector

pytest.importorskip("transformers", reason="transformers is not installed")

SETTINGS = BatchSettings()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_folder("rt_detr", tmp_path / "model")


def facts(detector: Detector) -> tuple[str, str]:
    return detector.provenance["configuration_sha256"], SETTINGS.hash_for(detector)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"activation_function": "gelu"}),
        ("config.json", {"layer_norm_eps": 1e-3}),
        ("preprocessor_config.json", {"do_normalize": True}),
        ("preprocessor_config.json", {"image_std": [0.5, 0.5, 0.5], "image_mean": [0.5, 0.5, 0.5]}),
        ("preprocessor_config.json", {"size": {"height": 96, "width": 64}}),
    ],
)
def test_another_configuration_beside_the_same_weights(folder: Path, file: str, change: dict[str, Any]) -> None:
    before = load(folder)
    write(folder / file, **change)
    after = load(folder)
    assert before.checkpoint_sha256 == after.checkpoint_sha256
    assert all(one != other for one, other in zip(facts(before), facts(after), strict=True))


def test_the_same_model_elsewhere_in_other_words(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "model"
    shutil.copytree(folder, other)
    write(other / "config.json", transformers_version="5.4.0", _name_or_path="/somewhere", dtype="float16")
    write(other / "preprocessor_config.json", image_processor_type="RTDetrImageProcessorFast")
    assert facts(load(folder)) == facts(load(other)) == facts(load(folder))


def test_a_built_model_too(folder: Path) -> None:
    saved: Any = load(folder)
    built = load(saved.family.model)
    before = facts(built)
    saved.family.model.config.layer_norm_eps = 1e-3
    assert facts(load(saved.family.model))[0] != before[0]


def test_the_text_is_in_the_provenance(tmp_path: Path) -> None:
    folder = save_folder("grounding-dino", tmp_path / "model")
    one, other = (load(folder, text=text) for text in ("cat. dog.", "cat dog."))
    assert (one.provenance["text"], other.provenance["text"]) == ("cat. dog.", "cat dog.")
    assert facts(one)[0] != facts(other)[0]
    assert facts(one)[1] != facts(other)[1]


def test_detr_has_the_provenance_that_it_always_had() -> None:
    assert not {"text", "configuration_sha256"} & tiny_detector().provenance.keys()
