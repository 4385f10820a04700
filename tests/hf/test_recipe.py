"""How a worker of a cluster opens transformers' models: as the caller did, and only if they are the same there."""

import pickle
from pathlib import Path

import pytest

from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.batch.recipe import Recipe
from detr_attnviz.detector import Detector, load
from detr_attnviz.errors import CheckpointError
from tests.checkpoints.originals.goldens import golden
from tests.hf.saved import save_folder, write
from tests.hf.test_originals import saved

pytest.importorskip("transformers", reason="transformers is not installed")


def is_opened_again(detector: Detector) -> bool:
    again: Detector = pickle.loads(pickle.dumps(Recipe.of(detector)))()
    assert again.provenance == detector.provenance
    assert again.class_names == detector.class_names
    settings = BatchSettings()
    return settings.hash_for(again) == settings.hash_for(detector)


@pytest.mark.parametrize("model_type", ["rt_detr", "conditional_detr", "yolos", "detr"])
def test_a_folder(model_type: str, tmp_path: Path) -> None:
    folder = save_folder(model_type, tmp_path / "model")
    assert is_opened_again(load(folder, classes=("cat", "dog", "bird", "fish")))


def test_a_model_that_takes_a_text(tmp_path: Path) -> None:
    detector = load(save_folder("grounding-dino", tmp_path / "model"), text="cat. remote dog.")
    assert is_opened_again(detector)
    assert Recipe.of(detector)().class_names == ("cat", "remote dog")


@pytest.mark.parametrize("nheads", [None, 4])
def test_an_original_file_whose_heads_are_assumed_or_told(nheads: int | None, tmp_path: Path) -> None:
    case = golden("conditional-detr")
    path = saved(case, tmp_path / "checkpoint.pth")
    detector = load(path, nheads=nheads)
    assert is_opened_again(detector)
    assert Recipe.of(detector)().provenance["heads"] == str(detector.family.origin.heads)


def test_another_configuration_on_the_worker_is_refused(tmp_path: Path) -> None:
    folder = save_folder("rt_detr", tmp_path / "model")
    recipe = Recipe.of(load(folder))
    write(folder / "preprocessor_config.json", do_normalize=True)
    with pytest.raises(
        CheckpointError, match="on a worker of the cluster: .*model works otherwise than it did here: .*same"
    ):
        recipe()
