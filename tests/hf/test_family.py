"""Detections of every family are those of the user's own three lines: processor, model, post-processing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

from detr_attnviz.detector import Detector
from detr_attnviz.errors import CheckpointError, ChoiceError
from detr_attnviz.families.hf_family import HFFamily
from detr_attnviz.families.hf_open import Asked, open_built, open_saved
from detr_attnviz.families.open import OpenOptions, open_family
from tests.hf.saved import EVERY, save_folder, tiny, write
from tests.hf.tiny_sampled import WITH_TEXT, WORDS

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8))
WITHOUT_TEXT = [model_type for model_type in EVERY if model_type not in WITH_TEXT]


def opened(model_type: str, folder: Path, **changes: Any) -> HFFamily:
    """Of a folder, by transformers also where the package has a model of its own."""
    from detr_attnviz.checkpoints.read import read
    from detr_attnviz.families.base import Origin

    found = read(save_folder(model_type, folder, **changes))
    asked = Asked(text="A cat. remote dog" if model_type in WITH_TEXT else None)
    return open_saved(found.args, found.tensors, Origin(model_type, str(folder)), asked)


def own_processor(folder: Path) -> Any:
    return transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True)


@pytest.mark.parametrize("model_type", WITHOUT_TEXT)
def test_scores_labels_and_boxes_are_the_users_own(model_type: str, tmp_path: Path) -> None:
    family = opened(model_type, tmp_path)
    prepared = family.prepare(IMAGE)
    with torch.inference_mode():
        prediction = family.forward(prepared.inputs)
        processor = own_processor(tmp_path)
        output = tiny(model_type)(**processor(images=IMAGE, return_tensors="pt"))
    assert_close(prediction.logits, output.logits, atol=1e-6, rtol=0)
    if model_type == "pp_doclayout_v3":  # its own processor outlines objects too, which needs another package
        processor = transformers.RTDetrImageProcessorPil()
    (theirs,) = processor.post_process_object_detection(output, threshold=0.0, target_sizes=[(97, 131)])
    ours = family.detections(prediction, prepared.grid)
    scores = family.scores(prediction.logits[0])
    boxes = torch.tensor([detection.box for detection in ours])
    assert len(theirs["scores"]) >= len(ours)
    for score, label, box in zip(theirs["scores"], theirs["labels"], theirs["boxes"], strict=True):
        is_same = ((scores[:, label] - score).abs() <= 1e-6) & ((boxes - box).abs() <= 131e-6).all(-1)
        assert is_same.any()
    best = max(ours, key=lambda detection: detection.score)
    assert best.score == pytest.approx(float(theirs["scores"].max()), abs=1e-6)
    assert [detection.label for detection in ours] == scores.argmax(-1).tolist()


@pytest.mark.parametrize("model_type", EVERY)
def test_everything_is_recorded_in_the_order_of_the_forward(model_type: str, tmp_path: Path) -> None:
    family = opened(model_type, tmp_path)
    trace = Detector(family).trace(IMAGE)
    names = [site.name for site in family.sites()]
    assert sorted(trace.sites) == sorted(names)
    assert names == sorted(names, key=lambda name: (name[0] != "e", name.split(".")[1], name.endswith("cross")))
    assert names[-2:] == ["decoder.1.self", "decoder.1.cross"]
    assert all(record.nbytes for record in trace.records.values())
    maps = trace.attention("decoder.1.cross", queries=[0])
    assert maps.shape[-2:] == (trace.grid.rows, trace.grid.cols)
    assert 0 < float(maps.sum((-2, -1)).max()) <= 1 + 1e-5


def test_classes_have_the_configurations_names_or_the_callers(tmp_path: Path) -> None:
    save_folder("yolos", tmp_path)
    assert open_family(tmp_path).class_names == ()
    write(tmp_path / "config.json", id2label={"0": "cat", "1": "dog", "2": "N/A", "3": "ox"})
    assert open_family(tmp_path).class_names == ("cat", "dog", "N/A", "ox")
    assert open_family(tmp_path, OpenOptions(classes=["a", "b"])).class_names == ("a", "b")
    with pytest.raises(ChoiceError, match="5 class names were given for a checkpoint of 4 classes"):
        open_family(tmp_path, OpenOptions(classes=list("abcde")))


def test_a_model_with_no_object_among_its_classes_is_read_so(tmp_path: Path) -> None:
    family = opened("rt_detr", tmp_path, use_focal_loss=False)
    logits = torch.tensor([[2.0, 0.0, 1.0, 5.0]])
    assert_close(family.scores(logits), logits.softmax(-1)[:, :3])


def test_the_single_projection_is_found_where_there_is_one(tmp_path: Path) -> None:
    assert isinstance(opened("conditional_detr", tmp_path / "a").projection(), nn.Conv2d)
    assert opened("deformable_detr", tmp_path / "b").projection() is None
    assert opened("yolos", tmp_path / "c").projection() is None


def test_padding_is_told_to_models_that_can_be_told(tmp_path: Path) -> None:
    family = opened("deformable_detr", tmp_path)
    prepared = family.prepare(IMAGE)
    padded = family.padded(prepared.inputs)
    assert padded is not None
    with torch.inference_mode():
        plain, inside = family.forward(prepared.inputs), family.forward(padded.inputs)
    assert padded.inputs["images"].shape[-2:] == (64 + 128, 86 + 128)
    assert int((~padded.is_padding).sum()) == prepared.grid.tokens
    assert plain.logits.shape == inside.logits.shape
    assert not torch.equal(plain.logits, family.forward({"images": padded.inputs["images"]}).logits)
    assert opened("rt_detr", tmp_path / "without").padded(prepared.inputs) is None


def test_reduced_precision_is_not_for_models_of_others(tmp_path: Path) -> None:
    family = opened("yolos", tmp_path)
    with pytest.raises(ChoiceError, match="precision bf16 is for DETR's own model; YOLOS runs as transformers has it"):
        family.settle(None, "bf16")
    family.settle(torch.device("cpu"), "official")
    assert family.origin.precision == "official"


def test_a_batch_gives_what_its_pictures_give_alone(tmp_path: Path) -> None:
    family = opened("grounding-dino", tmp_path)
    images = [IMAGE, IMAGE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    detector = Detector(family)
    together = detector.trace_prepared([(image, family.prepare(image), "") for image in images])
    for trace, image in zip(together, images, strict=True):
        assert_close(trace.logits, detector.trace(image).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model_type", WITH_TEXT)
def test_phrases_of_a_prompt_are_the_classes(model_type: str, tmp_path: Path) -> None:
    family = opened(model_type, tmp_path)  # "A cat. remote dog": [CLS] [UNK] cat . remote dog . [SEP]
    assert family.class_names == ("a cat", "remote dog")
    assert family.prompt is not None
    ids = family.prompt.tokens["input_ids"]
    assert ids.tolist() == [[101, 100, 2000, 1012, 2002, 2001, 1012, 102]]
    pixels = family.prepare(IMAGE).inputs["images"]
    with torch.inference_mode():
        raw = tiny(model_type)(pixel_values=pixels, input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        prediction = family.forward({"images": pixels})
    expected = torch.stack((raw[..., 1:3].max(-1).values, raw[..., 4:6].max(-1).values), -1)
    assert_close(prediction.logits, expected, atol=1e-5, rtol=1e-5)
    assert_close(family.scores(expected), expected.sigmoid())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (OpenOptions(), 'Grounding DINO looks for what a text names: give --text "a cat. a remote control."'),
        (OpenOptions(text=" "), "looks for what a text names"),
        (OpenOptions(text=". ?"), "names nothing: give what to look for"),
        (OpenOptions(text="cat. " * 30), "text comes to 62 tokens; the model reads 32 at most"),
        (OpenOptions(text="cat", classes=["cat"]), "has the phrases of its text for classes"),
    ],
)
def test_a_prompt_that_cannot_be_used(options: OpenOptions, message: str, tmp_path: Path) -> None:
    folder = save_folder("grounding-dino", tmp_path)
    with pytest.raises(ChoiceError, match=message.replace(".", r"\.").replace("?", r"\?")):
        open_family(folder, options)


def test_phrases_are_called_as_they_are_written(tmp_path: Path) -> None:
    family = open_family(save_folder("grounding-dino", tmp_path), OpenOptions(text="  Zebra\n CAT .zébra-dog? cat"))
    assert family.class_names == ("zebra cat", "zébra-dog", "cat")


def test_a_list_of_words_is_tokenizer_enough(tmp_path: Path) -> None:
    folder = save_folder("grounding-dino", tmp_path)
    (folder / "tokenizer.json").unlink()
    words = {0: "[PAD]", 100: "[UNK]", 103: "[MASK]", **WORDS}
    (folder / "vocab.txt").write_text("\n".join(words.get(index, f"[unused{index}]") for index in range(2100)))
    assert open_family(folder, OpenOptions(text="A cat. remote dog")).class_names == ("a cat", "remote dog")
    write(folder / "tokenizer_config.json", tokenizer_class="BertTokenizerLegacy")
    with pytest.raises(CheckpointError, match="its tokenizer is a BertTokenizerLegacy; expected a BertTokenizer"):
        open_family(folder, OpenOptions(text="cat"))


def test_phrases_of_unknown_words_are_named(tmp_path: Path) -> None:
    folder = save_folder("grounding-dino", tmp_path)
    with pytest.raises(ChoiceError, match=r"the model's vocabulary has no word of 'a zebra', 'okapi': say it"):
        open_family(folder, OpenOptions(text="cat. a zebra. okapi"))


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    folder = save_folder("grounding-dino", tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(
        CheckpointError, match=r"no tokenizer in the folder: expected tokenizer\.json or vocab\.txt; fetch"
    ):
        open_family(folder, OpenOptions(text="cat"))


def test_a_text_for_a_model_with_classes_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="YOLOS has classes of its own and takes no text"):
        open_family(save_folder("yolos", tmp_path), OpenOptions(text="a cat"))
    with pytest.raises(ChoiceError, match="demo has classes of its own and takes no text"):
        open_family("demo", OpenOptions(text="a cat"))


def test_a_built_model_stays_as_it_is() -> None:
    model: Any = tiny("deformable_detr", auxiliary_loss=True).train()
    weights = [weight.requires_grad for weight in model.parameters()]
    family = open_family(model)
    assert isinstance(family, HFFamily)
    assert any("no preprocessor_config.json" in note for note in family.origin.notes)
    prepared = family.prepare(IMAGE, shortest_px=64)
    with torch.inference_mode():
        found = Detector(family).trace(IMAGE, shortest_px=64).logits
        assert model.training
        expected = model.eval()(pixel_values=prepared.inputs["images"]).logits[0]
    assert torch.equal(found, expected)
    assert [weight.requires_grad for weight in model.parameters()] == weights
    assert model.config.auxiliary_loss
    with pytest.raises(ChoiceError, match="a built module knows its own heads"):
        open_family(model, OpenOptions(nheads=4))


def test_a_built_model_finds_its_processor_where_its_weights_came_from(tmp_path: Path) -> None:
    save_folder("conditional_detr", tmp_path)
    model = transformers.ConditionalDetrForObjectDetection.from_pretrained(tmp_path)
    family = open_built(model)
    assert family.processing.size == {"shortest_edge": 64, "longest_edge": 128}
    assert family.origin.notes == ()


@pytest.mark.parametrize("name", ["a--b/c", "foo/..", "a/" + "b" * 300, "a\0b"])
def test_a_built_model_whose_weights_came_from_nowhere(name: str) -> None:
    model: Any = tiny("conditional_detr")
    model.config.name_or_path = name
    assert any("no preprocessor_config.json" in note for note in open_built(model).origin.notes)


def test_a_built_model_that_reads_a_text_says_where_its_tokenizer_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(save_folder("grounding-dino", tmp_path))
    model: Any = tiny("grounding-dino")
    with pytest.raises(CheckpointError, match=r"was built without a tokenizer: set config\.name_or_path to the folder"):
        open_built(model, Asked(text="dog"))
    model.config.name_or_path = str(tmp_path)
    assert open_built(model, Asked(text="dog")).class_names == ("dog",)


def test_only_modules_of_known_packages_leave_what_they_were_given_as_it_is() -> None:
    class InPlace(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input.mul_(2))

    model: Any = tiny("conditional_detr")
    assert open_built(model).holds_still
    model.model.decoder.layers[0].mlp.fc1 = InPlace(32, 64)
    assert not open_built(model).holds_still


def test_a_built_model_that_is_no_detector() -> None:
    with pytest.raises(
        ChoiceError, match=r"ConditionalDetrModel is no object detector.*expected the …ForObjectDetection"
    ):
        open_family(tiny("conditional_detr").model)  # type: ignore[arg-type]
    with pytest.raises(ChoiceError, match=r"BertModel is no object detector.*capture\(module\)"):
        open_family(tiny("grounding-dino").model.text_backbone)  # type: ignore[union-attr, arg-type]


def images_of(family: HFFamily) -> Tensor:
    return family.prepare(IMAGE).inputs["images"]


def test_the_decoder_is_not_fed_what_is_meant_for_a_loss(tmp_path: Path) -> None:
    with_loss = opened("detr", tmp_path, auxiliary_loss=True)
    images = images_of(with_loss)
    with torch.inference_mode():
        expected = tiny("detr")(pixel_values=images).logits
        assert_close(with_loss.forward({"images": images}).logits, expected, atol=1e-6, rtol=0)
