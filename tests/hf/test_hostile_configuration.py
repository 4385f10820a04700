"""Whatever stands in a configuration of transformers, it is a model or one line, and no terabytes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from detr_attnviz.checkpoints.documents import read_small
from detr_attnviz.detector import Detector, load
from detr_attnviz.errors import AttnVizError, CheckpointError
from detr_attnviz.families import hf_limits
from detr_attnviz.families.hf_limits import check_counts, filled_by
from detr_attnviz.families.hf_processing import first_line
from detr_attnviz.families.hf_prompt import prompt_of
from tests.hf.saved import save_folder, write

pytest.importorskip("transformers", reason="transformers is not installed")

LONG = "9" * 5000
MARKUP = "\x1b[31m\n<script>\u202e"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder("conditional_detr", tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """The same model, whose small files may be changed."""
    for path in saved.iterdir():
        if path.suffix == ".json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
        else:
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


def refused(folder: Path) -> str:
    with pytest.raises(AttnVizError) as caught:
        load(folder)
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < len(str(folder)) + 600
    return said


def traced(folder: Path) -> Detector:
    detector = load(folder)
    assert detector.trace(Image.new("RGB", (50, 40))).detections
    return detector


@pytest.mark.parametrize("number", [10**12, 10**30, 1e300, float("inf")])
@pytest.mark.parametrize("name", ["num_labels", "encoder_layers", "num_queries", "decoder_attention_heads"])
def test_counts_that_no_detector_has(folder: Path, name: str, number: float) -> None:
    write(folder / "config.json", **{name: number})
    assert f"{name}=1" in (said := refused(folder)) or f"{name}=inf" in said or f"{name}=<a number of 100 bits>" in said
    assert "in its config.json; expected 100,000 at most" in said


@pytest.mark.parametrize("depths", [[10**9, 1, 1, 1], [[10**9]], 10**9])
def test_counts_in_a_backbone(folder: Path, depths: object) -> None:
    write(folder / "config.json", backbone_config={"model_type": "swin", "depths": depths})
    refused(folder)


@pytest.mark.parametrize(
    ("name", "number"),
    [("encoder_layers", 99_999), ("decoder_layers", 99_999), ("d_model", 10**6), ("encoder_ffn_dim", 10**12)],
)
def test_sizes_that_the_weights_do_not_fill(folder: Path, name: str, number: int) -> None:
    write(folder / "config.json", **{name: number})
    assert "describes a model of which its weights fill only a small part" in refused(folder)


def test_making_another_model_meanwhile_and_afterwards_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_limits, "_MORE_MODULES", 3)
    with filled_by({}, "here"):
        torch.nn.Sequential(torch.nn.ReLU(), torch.nn.ReLU(), torch.nn.ReLU())
    with pytest.raises(CheckpointError, match="here: its config.json describes"), filled_by({}, "here"):
        torch.nn.Sequential(*(torch.nn.ReLU() for _ in range(4)))
    torch.nn.Sequential(*(torch.nn.ReLU() for _ in range(9)))


def test_weights_that_take_no_room_yet_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_limits, "_MORE_ELEMENTS", 0)
    tensors = {"weight": torch.zeros(10, 10)}
    with filled_by(tensors, "here"):
        torch.nn.Linear(10, 40, bias=False, device="meta")
        torch.nn.Linear(10, 1000)
    with pytest.raises(CheckpointError, match=r"fill only a small part \(1 tensors\)"), filled_by(tensors, "here"):
        torch.nn.Linear(10, 41, bias=False, device="meta")


def test_counts_at_every_depth_and_other_numbers() -> None:
    check_counts({"num_labels": 100_000, "vocab_size": 10**9, "parts": [{"layers": None, "depths": ["x"]}]}, "here")
    with pytest.raises(CheckpointError, match=r"here: depths=\[1, 100001\] in its config.json"):
        check_counts({"parts": [{"more": {"depths": [1, 100_001]}}]}, "here")


STRANGE: list[dict[str, Any]] = [
    {"dropout": -1},
    {"dropout": float("nan")},
    {"activation_dropout": 1.5},
    {"decoder_attention_heads": -1},
    {"encoder_attention_heads": 0},
    {"d_model": LONG},
    {"d_model": None},
    {"activation_function": LONG},
    {"activation_function": MARKUP},
    {"position_embedding_type": MARKUP},
    {"backbone_config": MARKUP},
    {"backbone_config": {"model_type": MARKUP}},
    {"backbone_config": []},
    {"id2label": []},
    {"id2label": {LONG: "cat"}},
    {"id2label": {"x": "cat"}},
    {"model_type": MARKUP},
]


@pytest.mark.parametrize("entries", STRANGE, ids=lambda entries: next(iter(entries)))
def test_entries_of_which_no_model_can_be_made(folder: Path, entries: dict[str, Any]) -> None:
    write(folder / "config.json", **entries)
    assert str(folder) in refused(folder)


PREPARED: list[tuple[dict[str, Any], str]] = [
    ({"size": {"shortest_edge": "x", "longest_edge": 128}}, "expected whole numbers of pixels above 0"),
    ({"size": {"shortest_edge": float("nan"), "longest_edge": 128}}, "expected whole numbers of pixels"),
    ({"size": {"shortest_edge": float("inf"), "longest_edge": 128}}, "expected whole numbers of pixels"),
    ({"size": {"shortest_edge": [1], "longest_edge": 128}}, "expected whole numbers of pixels"),
    ({"size": {"height": LONG, "width": 64}}, "expected whole numbers of pixels"),
    ({"size": {"height": -5, "width": 64}}, "expected whole numbers of pixels"),
    ({"size": {"height": 10**6, "width": 64}}, "expected whole numbers up to 8,192 px"),
    ({"size": {"shortest_edge": 10**6, "longest_edge": 10**9}}, "expected whole numbers up to 8,192 px"),
    ({"pad_size": {"height": 10**6, "width": 10**6}}, "expected whole numbers up to 8,192 px"),
    ({"size": MARKUP}, "cannot make ConditionalDetrImageProcessor"),
    ({"size": LONG}, "cannot make ConditionalDetrImageProcessor"),
    ({"pad_size": 0}, "expected whole numbers up to 8,192 px"),
    ({"pad_size": {"height": 8, "width": 8}}, "cannot prepare pictures as preprocessor_config.json says: Padding"),
    ({"image_mean": [1]}, "mean must have 3 elements"),
    ({"image_mean": None}, "image_mean"),
    ({"image_std": MARKUP}, "std must have 3 elements"),
    ({"resample": -1}, "Unknown resampling filter"),
    ({"resample": {}}, "cannot prepare pictures"),
    ({"rescale_factor": "x"}, "cannot prepare pictures"),
    ({"format": MARKUP}, "is not a valid AnnotationFormat"),
]


@pytest.mark.parametrize(("entries", "message"), PREPARED)
def test_descriptions_that_no_picture_survives(folder: Path, entries: dict[str, Any], message: str) -> None:
    write(folder / "preprocessor_config.json", **entries)
    assert message in refused(folder)


def test_a_description_that_only_a_larger_picture_does_not_survive(folder: Path) -> None:
    write(folder / "preprocessor_config.json", pad_size={"height": 40, "width": 40})
    detector = load(folder)
    with pytest.raises(CheckpointError, match=r"cannot prepare pictures as preprocessor_config.json says: Padding"):
        detector.trace(Image.new("RGB", (50, 40)))


def test_a_longest_side_without_bound_is_usual(folder: Path) -> None:
    write(folder / "preprocessor_config.json", size={"shortest_edge": 64, "longest_edge": 10**9})
    assert traced(folder)


def test_names_that_are_markup_stay_as_they_are(folder: Path, saved: Path) -> None:
    count = load(saved).trace(Image.new("RGB", (50, 40))).logits.shape[1]
    write(folder / "config.json", id2label={str(label): MARKUP for label in range(count)})
    assert set(traced(folder).class_names) == {MARKUP}


def test_a_name_that_no_picture_could_show(folder: Path, saved: Path) -> None:
    count = load(saved).trace(Image.new("RGB", (50, 40))).logits.shape[1]
    write(folder / "config.json", id2label={str(label): "x" * 1_000_000 for label in range(count)})
    assert "id2label in its config.json: name='xxx" in refused(folder)


def test_what_other_packages_say_is_short_and_printable() -> None:
    assert len(first_line(ValueError(LONG))) == 301
    assert first_line(ValueError("\x1b[31mred\nand\nmore")) == " [31mred and"
    assert first_line(ValueError("")) == "ValueError"


@pytest.fixture
def with_tokenizer(tmp_path: Path) -> Path:
    folder = save_folder("grounding-dino", tmp_path / "model")
    (folder / "model.safetensors").unlink()
    return folder


def test_a_tokenizer_that_lacks_its_own_word_for_unknown_ones(with_tokenizer: Path) -> None:
    path = with_tokenizer / "tokenizer.json"
    described = json.loads(path.read_text())
    del described["model"]["vocab"]["[UNK]"]
    write(path, model=described["model"])
    with pytest.raises(CheckpointError, match="its tokenizer cannot read a text: WordPiece error: Missing") as caught:
        prompt_of("zebra crossing.", with_tokenizer, 256)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"])
def test_a_file_of_a_tokenizer_that_is_too_large(with_tokenizer: Path, name: str) -> None:
    with open(with_tokenizer / name, "ab") as file:
        file.truncate(2 << 30)
    with pytest.raises(CheckpointError, match=f"{name}: larger than 64 MiB"):
        prompt_of("a cat.", with_tokenizer, 256)


@pytest.mark.parametrize("content", ["", "[]", "5", "{", '{"model": null}', "[" * 100_000, f'{{"version": {LONG}}}'])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_that_is_none(with_tokenizer: Path, name: str, content: str) -> None:
    (with_tokenizer / name).write_text(content)
    with pytest.raises(CheckpointError, match="no tokenizer that transformers can load|its tokenizer is a") as caught:
        prompt_of("a cat.", with_tokenizer, 256)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(with_tokenizer)) + 500


@pytest.mark.parametrize(
    ("model_type", "entries"),
    [("rt_detr", {"dropout": 100_000}), ("rf_detr", {"num_queries": 50_000}), ("deformable_detr", {"dropout": 9})],
)
def test_models_that_are_made_but_do_not_run(tmp_path: Path, model_type: str, entries: dict[str, Any]) -> None:
    folder = save_folder(model_type, tmp_path / "model")
    write(folder / "config.json", **entries)
    with pytest.raises(AttnVizError) as caught:
        load(folder).trace(Image.new("RGB", (50, 40)))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("strides", [[], [-1, 16, 32], [0, 0, 0]])
def test_strides_that_are_none(tmp_path: Path, strides: list[int]) -> None:
    folder = save_folder("d_fine", tmp_path / "model")
    write(folder / "config.json", feat_strides=strides)
    refused(folder)


@pytest.mark.parametrize("told", [ValueError(f"{MARKUP} {LONG}"), RuntimeError("shapes differ"), KeyError("x")])
def test_a_model_that_stumbles_over_a_picture_is_a_line(saved: Path, told: Exception) -> None:
    detector: Any = load(saved)
    with pytest.raises(CheckpointError, match="cannot run the model of its config.json on this picture") as caught:
        _trace_with(detector, lambda *_: _raise(told))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "told", [MemoryError("none"), RuntimeError("CUDA out of memory"), CheckpointError("as it was")]
)
def test_no_room_and_what_is_said_already_stay(saved: Path, told: Exception) -> None:
    with pytest.raises(type(told), match=str(told)):
        _trace_with(load(saved), lambda *_: _raise(told))


def test_a_fault_of_this_package_inside_a_model_keeps_its_traceback(saved: Path) -> None:
    with pytest.raises(ValueError, match="null byte"):
        _trace_with(load(saved), lambda *_: read_small(Path("a\0b")))


def _trace_with(detector: Any, hook: Callable[..., object]) -> None:
    handle = detector.family.model.register_forward_pre_hook(hook)
    try:
        detector.trace(Image.new("RGB", (50, 40)))
    finally:
        handle.remove()


def _raise(told: Exception) -> None:
    raise told
