"""The configurations of the published checkpoints are read off their tensors' shapes alone."""

from typing import Any

import pytest

from detr_attnviz.checkpoints.originals.recognise import Original, original
from tests.checkpoints.originals.goldens import load, published, published_state

BASIC = [64, 128, 256, 512]
DETR = {"d_model": 256, "encoder_layers": 6, "decoder_layers": 6, "num_queries": 300, "encoder_ffn_dim": 2048}
DAB = {"hidden_size": 256, "encoder_layers": 6, "decoder_layers": 6, "num_queries": 300, "activation_function": "prelu"}
DEFORMABLE = {"d_model": 256, "encoder_layers": 6, "decoder_layers": 6, "encoder_n_points": 4, "decoder_n_points": 4}
RT = {
    "d_model": 256,
    "num_queries": 300,
    "decoder_attention_heads": 8,
    "decoder_n_points": 4,
    "feat_strides": [8, 16, 32],
}
FINE = {"d_model": 256, "decoder_attention_heads": 8, "decoder_n_points": [3, 6, 3], "max_num_bins": 32}

EXPECTED: dict[str, dict[str, Any]] = {
    "conditional-r50": {**DETR, "backbone.depths": [3, 4, 6, 3]},
    "conditional-r101": {**DETR, "backbone.depths": [3, 4, 23, 3]},
    "dab-r50": {**DAB, "num_patterns": 0, "temperature_height": 20},
    "dab-r50-pat3": {**DAB, "num_patterns": 3},
    "deformable-r50": {**DEFORMABLE, "num_feature_levels": 4, "two_stage": False, "with_box_refine": False},
    "deformable-r50-single-scale": {**DEFORMABLE, "num_feature_levels": 1, "backbone.out_features": ["stage4"]},
    "deformable-r50-refine": {**DEFORMABLE, "two_stage": False, "with_box_refine": True, "num_queries": 300},
    "deformable-r50-two-stage": {**DEFORMABLE, "two_stage": True, "with_box_refine": True},
    "rtdetr-r18vd": {**RT, "decoder_layers": 3, "hidden_expansion": 0.5, "backbone.hidden_sizes": BASIC},
    "rtdetr-r34vd": {**RT, "decoder_layers": 4, "backbone.depths": [3, 4, 6, 3], "backbone.layer_type": "basic"},
    "rtdetr-r50vd-m": {**RT, "decoder_layers": 3, "hidden_expansion": 0.5},
    "rtdetr-r50vd": {**RT, "decoder_layers": 6, "hidden_expansion": 1.0, "backbone.layer_type": "bottleneck"},
    "rtdetr-r101vd": {**RT, "encoder_hidden_dim": 384, "encoder_ffn_dim": 2048, "decoder_in_channels": [384] * 3},
    "rtdetrv2-r18vd": {**RT, "decoder_layers": 3, "decoder_method": "default"},
    "rtdetrv2-r18vd-sp1": {**RT, "decoder_n_points": 1},
    "rtdetrv2-r50vd-m": {**RT, "decoder_layers": 3},
    "rtdetrv2-r50vd": {**RT, "decoder_layers": 6},
    "rtdetrv2-r101vd": {**RT, "backbone.depths": [3, 4, 23, 3]},
    "rtdetrv2-hgnet-l": {**RT, "backbone.stage_num_blocks": [1, 1, 3, 1], "backbone.stem_channels": [3, 32, 48]},
    "rtdetrv2-hgnet-x": {**RT, "backbone.stage_num_blocks": [1, 2, 5, 2], "encoder_hidden_dim": 384},
    "rtdetrv2-hgnet-h": {**RT, "backbone.stage_num_blocks": [2, 3, 6, 3], "encoder_layers": 2},
    "dfine-n": {
        "d_model": 128,
        "decoder_n_points": [6, 6],
        "feat_strides": [16, 32],
        "encode_proj_layers": [1],
        "backbone.use_learnable_affine_block": True,
        "backbone.out_features": ["stage3", "stage4"],
    },
    "dfine-s": {**FINE, "decoder_layers": 3, "backbone.stage_mid_channels": [16, 32, 64, 128]},
    "dfine-m": {**FINE, "decoder_layers": 4, "backbone.stage_numb_of_layers": [4, 4, 4, 4]},
    "dfine-l": {**FINE, "decoder_layers": 6, "backbone.use_learnable_affine_block": False},
    "dfine-x": {**FINE, "decoder_layers": 6, "encoder_hidden_dim": 384, "decoder_in_channels": [384] * 3},
}


def points_of(name: str) -> tuple[int, ...]:
    wanted = EXPECTED[name].get("decoder_n_points", 4)
    return tuple(wanted) if isinstance(wanted, list) else (wanted,) * 3


def read(name: str) -> Original:
    found = original(published_state(name, points_of(name)), {})
    assert found is not None
    return found


def test_every_published_model_is_expected() -> None:
    assert EXPECTED.keys() == published().keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_configuration_of_a_published_model(name: str) -> None:
    config = read(name).config
    backbone = config["backbone_config"]
    assert isinstance(backbone, dict)
    flat = config | {f"backbone.{key}": value for key, value in backbone.items()}
    assert {key: flat[key] for key in EXPECTED[name]} == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_published_model_loads_without_a_tensor_over_or_missing(name: str) -> None:
    _, loading = load(read(name))
    assert not any(loading.values()), loading


def test_what_a_file_without_arguments_does_not_tell_is_said() -> None:
    assert read("deformable-r50-two-stage").assumed == (
        "8 heads assumed (the checkpoint does not say): --nheads N changes it",
        "last stage not dilated, assumed (the checkpoint does not say): --dilation changes it",
        "300 proposals of the first stage assumed (the checkpoint does not say)",
        "COCO class names assumed from the 91 class rows: --classes FILE changes them",
    )
    said = " ".join(read("rtdetrv2-r50vd-m").assumed)
    assert "bilinear sampling assumed" in said
    assert "decoder layer 2 predicts, assumed as in the published R50-m" in said
    assert not any("heads" in sentence for sentence in read("rtdetrv2-r50vd").assumed)
