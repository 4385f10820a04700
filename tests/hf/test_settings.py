"""What a configuration names is neither fetched nor run, however deep it is named."""

from typing import Any

import pytest

from detr_attnviz.errors import CheckpointError
from detr_attnviz.families.hf_settings import settings_of

pytest.importorskip("transformers", reason="transformers is not installed")

RUN_OTHERWISE = {
    "auto_map": {"AutoBackbone": "somebody/else--modeling.Backbone"},
    "attn_implementation": "somebody/kernel",
    "_attn_implementation": "flash_attention_2",
    "experts_implementation": "grouped_mm",
    "_experts_implementation": "grouped_mm",
    "transformers_weights": "adapter_model.bin",
    "fusion_config": {"patch_embeddings": True},
    "dtype": "float16",
    "_name_or_path": "somebody/else",
}


def config(**entries: Any) -> dict[str, Any]:
    return {"model_type": "conditional_detr", "d_model": 32, **entries}


def test_entries_that_only_change_how_a_model_is_run_are_left_out_at_every_depth() -> None:
    inner = {"model_type": "resnet", "depths": [1, 1], **RUN_OTHERWISE}
    deep = {"model_type": "swin", "parts": [{"kind": "a", **RUN_OTHERWISE}], **RUN_OTHERWISE}
    found = settings_of(config(backbone_config=inner, more=deep, **RUN_OTHERWISE), "here")
    assert found == config(
        backbone_config={"model_type": "resnet", "depths": [1, 1]},
        more={"model_type": "swin", "parts": [{"kind": "a"}]},
        auxiliary_loss=False,
        use_pretrained_backbone=False,
        backbone=None,
    )


def test_what_was_given_stays_as_it_was() -> None:
    given = config(backbone_config={"model_type": "resnet", "dtype": "float16"}, preprocessor_config={"size": 3})
    settings_of(given, "here")
    assert given == config(
        backbone_config={"model_type": "resnet", "dtype": "float16"}, preprocessor_config={"size": 3}
    )


def test_no_backbone_is_pretrained() -> None:
    inner = {"model_type": "timm_backbone", "backbone": "resnet18", "use_pretrained_backbone": True, "pretrained": True}
    found = settings_of(config(backbone_config=inner, use_pretrained_backbone=True), "here")
    assert found["backbone_config"] == {**inner, "use_pretrained_backbone": False, "pretrained": False}
    assert found["use_pretrained_backbone"] is False


@pytest.mark.parametrize("name", ["hf-hub:evil/model", "hf_hub:evil/model", "local-dir:/x", "evil/model", "..\\x"])
@pytest.mark.parametrize(
    "entries",
    [
        lambda name: {"backbone": name},
        lambda name: {"backbone": name, "backbone_kwargs": {"out_indices": [1, 2]}},
        lambda name: {"backbone_config": {"model_type": "timm_backbone", "backbone": name}},
        lambda name: {"backbone_config": {"model_type": "swin", "inner": [{"architecture": name}]}},
    ],
)
def test_a_backbone_whose_name_is_an_address(name: str, entries: Any) -> None:
    with pytest.raises(CheckpointError, match=r"here: refused, because .* is an address, .*one of timm's own models"):
        settings_of(config(**entries(name)), "here")


@pytest.mark.parametrize("name", ["resnet50", "resnet50.a1_in1k", "tf_efficientnet-b0"])
def test_names_of_timms_own_models_stay(name: str) -> None:
    assert settings_of(config(backbone=name), "here")["backbone"] == name


@pytest.mark.parametrize("model_type", ["rt_detr", "grounding-dino", "lw_detr"])
def test_a_name_alone_that_transformers_would_ask_the_hub_about(model_type: str) -> None:
    with pytest.raises(CheckpointError, match="its backbone is another model, resnet50, whose configuration is not"):
        settings_of({"model_type": model_type, "backbone": "resnet50"}, "here")


@pytest.mark.parametrize(
    ("part", "kind", "known"),
    [
        ("backbone_config", "rt_detr", "resnet"),
        ("backbone_config", "timm_wrapper", "swin"),
        ("text_config", "mamba", "bert"),
    ],
)
def test_parts_that_no_detr_has(part: str, kind: str, known: str) -> None:
    with pytest.raises(CheckpointError, match=f"model_type='{kind}' in its {part} is no part of .*known are .*{known}"):
        settings_of(config(**{part: {"model_type": kind}}), "here")


@pytest.mark.parametrize("part", ["backbone_config", "text_config"])
def test_quantized_parts(part: str) -> None:
    quantized = {"quantization_config": {"quant_method": "awq"}}
    with pytest.raises(CheckpointError, match="quantized weights cannot be read here"):
        settings_of(config(**{part: quantized}), "here")
