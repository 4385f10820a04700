"""Folders of transformers are opened without running their code and without a network, or one line says why not."""

import builtins
import importlib.util
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from detr_attnviz.errors import CheckpointError, CheckpointKeysError, ChoiceError, MissingExtraError
from detr_attnviz.families import hf_build
from detr_attnviz.families.hf_family import HFFamily
from detr_attnviz.families.hf_table import KNOWN
from detr_attnviz.families.native import NativeFamily
from detr_attnviz.families.open import OpenOptions, open_family
from detr_attnviz.families.own_code import OwnCode
from tests.hf.saved import save_folder, tiny, write

transformers = pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_folder("conditional_detr", tmp_path / "model")


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_folder_its_file_and_a_pickled_one_are_the_same_model(folder: Path) -> None:
    first = open_family(folder)
    assert isinstance(first, HFFamily)
    assert first.origin.notes == ()
    assert first.origin.heads == 4
    expected = first.model.state_dict()
    second = open_family(folder / "model.safetensors")
    torch.save(weights_of(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    for family in (second, open_family(folder)):
        assert isinstance(family, HFFamily)
        assert all(torch.equal(value, expected[name]) for name, value in family.model.state_dict().items())
        assert not any(weight.requires_grad for weight in family.model.parameters())


def test_names_in_memory_are_as_good_as_those_on_disk(folder: Path) -> None:
    save_file(tiny("conditional_detr").state_dict(), folder / "model.safetensors")
    assert isinstance(open_family(folder), HFFamily)


def test_half_precision_weights_run_in_float32(folder: Path) -> None:
    save_file({name: value.half() for name, value in weights_of(folder).items()}, folder / "model.safetensors")
    write(folder / "config.json", dtype="float16", torch_dtype="float16")
    family = open_family(folder)
    assert isinstance(family, HFFamily)
    assert {value.dtype for value in family.model.parameters()} == {torch.float32}


def test_everything_that_does_not_fit_is_listed_at_once(folder: Path) -> None:
    weights = weights_of(folder)
    del weights["model.decoder.layernorm.weight"]
    weights["bbox_predictor.layers.0.bias"] = torch.zeros(3)
    save_file({**weights, "head.of.another": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(CheckpointKeysError, match=r"1 missing .*1 unexpected .*1 of another shape") as caught:
        open_family(folder)
    assert caught.value.missing == ("model.decoder.layernorm.weight",)
    assert caught.value.unexpected == ("head.of.another",)
    assert caught.value.wrong_shape == ("bbox_predictor.layers.0.bias",)


@pytest.mark.parametrize("model_type", ["maskformer", "omdet-turbo", "no_such_model"])
def test_an_unknown_model_type_lists_those_that_are_known(folder: Path, model_type: str) -> None:
    write(folder / "config.json", model_type=model_type)
    with pytest.raises(CheckpointError, match=f"model_type='{model_type}' .*no DETR that is known") as caught:
        open_family(folder)
    assert ", ".join(KNOWN) in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"d_model": "wide"}, "cannot make a model of its config.json .*d_model"),
        ({"activation_function": "no_such_function"}, "cannot make a model of its config.json .*no_such_function"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantized weights cannot be read here"),
        (
            {"backbone_config": None, "backbone": "microsoft/resnet-50", "use_timm_backbone": False},
            "its backbone is another model, microsoft/resnet-50, whose configuration is not there",
        ),
    ],
)
def test_a_configuration_that_makes_no_model(folder: Path, entries: dict[str, Any], message: str) -> None:
    write(folder / "config.json", **entries)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_family(folder)
    assert "\n" not in str(caught.value)


def test_old_words_for_a_timm_backbone_ask_nobody(folder: Path) -> None:
    pytest.importorskip("timm", reason="timm is not installed")
    words = {"backbone": "resnet18", "use_timm_backbone": True, "use_pretrained_backbone": True, "dilation": False}
    options = {"out_indices": [1, 2, 3, 4], "in_chans": 3}
    model = tiny("conditional_detr", backbone_config={"model_type": "timm_backbone", "backbone": "resnet18", **options})
    save_file(model.state_dict(), folder / "model.safetensors")
    for backbone_kwargs in (options, {}):
        write(folder / "config.json", backbone_config=None, backbone_kwargs=backbone_kwargs, **words)
        family = open_family(folder)
        assert isinstance(family, HFFamily)
        assert family.layout.strides_px == (32,)


def test_a_timm_backbone_without_timm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "config.json", backbone_config={"model_type": "timm_backbone", "backbone": "resnet18"})
    monkeypatch.setattr(hf_build, "find_spec", lambda name: None if name == "timm" else importlib.util.find_spec(name))
    with pytest.raises(CheckpointError, match="its backbone comes from timm.*pip install timm"):
        open_family(folder)


def test_without_transformers_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_build, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r'Conditional DETR needs an optional .*pip install "detr-attnviz\[hf\]"'
    ):
        open_family(folder)


def test_an_old_transformers_is_told_what_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_build, "version", lambda name: "4.57.6")
    with pytest.raises(CheckpointError, match=r"needs transformers 5.4 or newer; found 4.57.6: pip install"):
        open_family(folder)


def test_code_beside_the_weights_is_not_run(folder: Path) -> None:
    witness = folder / "ran"
    (folder / "modeling_own.py").write_text(f"open({str(witness)!r}, 'w').close()\n")
    own = {name: "modeling_own.Own" for name in ("AutoConfig", "AutoModelForObjectDetection", "AutoImageProcessor")}
    write(folder / "config.json", auto_map=own)
    write(folder / "preprocessor_config.json", auto_map=own)
    assert isinstance(open_family(folder), HFFamily)
    assert not witness.exists()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Questions that are put to whoever sits there, who would say yes."""
    questions: list[str] = []

    def answer(question: str = "") -> str:
        questions.append(question)
        return "y"

    monkeypatch.setattr(builtins, "input", answer)
    return questions


def test_code_that_a_part_of_the_configuration_names_is_not_asked_about(folder: Path, asked: list[str]) -> None:
    part = {"model_type": "bert", "auto_map": {"AutoBackbone": "evil/model--modeling.Own"}}
    write(folder / "config.json", backbone_config=part)
    with pytest.raises(CheckpointError, match="model_type='bert' in its backbone_config is no part of a DETR"):
        open_family(folder)
    assert asked == []


@pytest.mark.parametrize("asked_for", ["eager", "flash_attention_2", "evil/kernel", {"backbone_config": "evil/kernel"}])
def test_attention_runs_as_it_does_here_whatever_the_configuration_asks_for(folder: Path, asked_for: Any) -> None:
    expected = open_family(folder)
    words = dict.fromkeys(
        ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation"), asked_for
    )
    inner = json.loads((folder / "config.json").read_text())["backbone_config"]
    write(folder / "config.json", backbone_config=inner | words, **words)
    found = open_family(folder)
    assert isinstance(expected, HFFamily)
    assert isinstance(found, HFFamily)
    config: Any = found.model.config
    assert config._attn_implementation == "sdpa"
    assert config.backbone_config._attn_implementation == expected.model.config.backbone_config._attn_implementation  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["hf-hub:evil/model", "local-dir:/x"])
def test_an_address_for_a_backbone_is_refused(folder: Path, name: str) -> None:
    write(folder / "config.json", backbone_config={"model_type": "timm_backbone", "backbone": name})
    with pytest.raises(CheckpointError, match=f"refused, because backbone='{name}' in its configuration is an address"):
        open_family(folder)


@pytest.mark.parametrize("options", [OpenOptions(nheads=4), OpenOptions(dilation=True)])
def test_what_the_configuration_tells_is_not_asked_for(folder: Path, options: OpenOptions) -> None:
    with pytest.raises(
        ChoiceError, match="config.json tells the heads and the dilation: leave nheads and dilation out"
    ):
        open_family(folder, options)


def test_what_is_for_built_modules_is_not_for_checkpoints() -> None:
    with pytest.raises(ChoiceError, match="preprocess, postprocess, sites and score are for a built module"):
        open_family("demo", OpenOptions(own=OwnCode(score="sigmoid")))


def test_a_text_for_a_module_of_ones_own() -> None:
    with pytest.raises(ChoiceError, match="text is for models of transformers"):
        open_family(torch.nn.Linear(3, 3), OpenOptions(text="a cat"))


def test_transformers_own_settings_are_put_back(folder: Path) -> None:
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    open_family(folder)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_too_few_class_names_are_noted(folder: Path) -> None:
    family = open_family(folder, OpenOptions(classes=["cat", "dog"]))
    assert family.origin.notes == ("2 names for 4 classes: ids from 2 on are called class N",)
    assert open_family(folder, OpenOptions(classes=["cat", "dog", "cow", "bee"])).origin.notes == ()


UNTOLD = sorted(KNOWN.keys() - {"detr", "table-transformer"})


@pytest.mark.parametrize("model_type", UNTOLD)
def test_a_folder_that_does_not_say_what_model_it_is(model_type: str, tmp_path: Path) -> None:
    folder = save_folder(model_type, tmp_path / "model")
    write(folder / "config.json", model_type=None)
    with pytest.raises(CheckpointError, match=r"as transformers keeps it .*but its config\.json has no model_type"):
        open_family(folder)
    (folder / "config.json").unlink()
    for source in (folder, folder / "model.safetensors"):
        with pytest.raises(CheckpointError, match=r"but there is no config\.json beside the weights.*: fetch config"):
            open_family(source)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors.index.json"])
def test_a_file_beside_the_weights_points_to_its_folder(folder: Path, name: str) -> None:
    write(folder / name)
    with pytest.raises(CheckpointError, match="holds no weights; give the folder that it lies in: ") as caught:
        open_family(folder / name)
    assert str(caught.value).endswith(str(folder))


@pytest.mark.parametrize("model_type", ["detr", "table-transformer"])
def test_a_detr_runs_natively_unless_its_backbone_is_none_of_ours(model_type: str, tmp_path: Path) -> None:
    assert isinstance(open_family(save_folder(model_type, tmp_path / "other")), HFFamily)
    usual = {"embedding_size": 64, "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"}
    backbone = transformers.ResNetConfig(**usual, out_features=["stage4"])
    folder = save_folder(model_type, tmp_path / "usual", backbone_config=backbone)
    native = open_family(folder)
    assert isinstance(native, NativeFamily)
    pixels = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected = tiny(model_type, backbone_config=backbone)(pixel_values=pixels)
        found = native.forward({"images": pixels})
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-4, rtol=1e-4)  # batch norms are folded in ours
    torch.testing.assert_close(found.boxes, expected.pred_boxes, atol=1e-5, rtol=1e-4)
