"""Shapes tell the architecture; heads, dilation and names come from where the precedence says, or are assumed aloud."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import torch

from detr_attnviz.checkpoints.coco import COCO_CONTIGUOUS_NAMES, COCO_NAMES, COCO_PANOPTIC_NAMES
from detr_attnviz.checkpoints.config import DetrConfig, infer
from detr_attnviz.checkpoints.naming import Renamed, canonical
from detr_attnviz.errors import CheckpointError, ChoiceError
from detr_attnviz.models.resnet import ResNetShape
from tests.checkpoints.states import (
    State,
    detectron2_state,
    hugging_face_state,
    mask_head,
    notebook_state,
    official_state,
    parity_state,
)
from tests.parity.cases import CASES, FOLDER

NOTHING_ASSUMED: tuple[str, ...] = ()
HEADS_ASSUMED = "8 heads assumed (the checkpoint does not say): --nheads N changes it"
DILATION_ASSUMED = "last stage not dilated, assumed (the checkpoint does not say): --dilation changes it"


def inferred(
    state: State, args: dict[str, Any] | None = None, file_name: str = "mine.pth", **options: Any
) -> DetrConfig:
    return infer(canonical(state), args=args or {}, file_name=file_name, **options)


@pytest.mark.parametrize("case", CASES)
def test_parity_cases_equal_their_training_arguments(case: str) -> None:
    args = json.loads((FOLDER / f"{case}.spec.json").read_text())["args"]
    config = inferred(parity_state(case), args)
    assert config.backbone_name == args["backbone"]
    assert (config.encoder_layers, config.decoder_layers) == (args["enc_layers"], args["dec_layers"])
    assert (config.width, config.feedforward) == (args["hidden_dim"], args["dim_feedforward"])
    assert (config.heads, config.dilation, config.pre_norm) == (args["nheads"], args["dilation"], args["pre_norm"])
    assert (config.queries, config.classes) == (args["num_queries"], args["num_classes"])
    assert (config.masks, config.positions, config.box_layers) == (args["masks"], "sine", 3)
    assert (config.shortest_px, config.longest_px, config.notebook) == (800, 1333, False)
    assert not any("heads" in note or "dilated" in note for note in config.assumed)


def test_what_nothing_tells_is_assumed_aloud() -> None:
    config = inferred(official_state(heads=8))
    assert (config.heads, config.dilation, config.class_names) == (8, False, ())
    assert config.assumed == (HEADS_ASSUMED, DILATION_ASSUMED)


def test_options_tell_what_nothing_else_does() -> None:
    config = inferred(official_state(), nheads=4, dilation=True)
    assert (config.heads, config.dilation, config.assumed) == (4, True, NOTHING_ASSUMED)


def test_options_win_over_arguments_and_that_is_said() -> None:
    config = inferred(official_state(), {"nheads": 4, "dilation": False}, nheads=2, dilation=True)
    assert (config.heads, config.dilation) == (2, True)
    assert config.assumed == (
        "2 heads taken from --nheads, although the checkpoint says 4",
        "last stage dilated (DC5) as the option says, although the checkpoint says not dilated",
    )


def test_options_that_agree_with_the_arguments_are_not_worth_a_word() -> None:
    assert inferred(official_state(), {"nheads": 4, "dilation": True}, nheads=4, dilation=True).assumed == ()


def test_arguments_win_over_an_official_file_name() -> None:
    config = inferred(official_state(), {"nheads": 4, "dilation": False}, "detr-r50-dc5-f0fb7ef5.pth")
    assert (config.heads, config.dilation, config.assumed) == (4, False, NOTHING_ASSUMED)


@pytest.mark.parametrize(
    ("file_name", "dilation"),
    [
        ("detr-r50-e632da11.pth", False),
        ("detr-r50-dc5-f0fb7ef5.pth", True),
        ("detr-r101-dc5.pth", True),
        ("detr-r50-dc5-panoptic-da08f1b1.pth", True),
        ("folder/detr_demo-da2a99e9.pth", False),
    ],
)
def test_official_file_name_tells_heads_and_dilation(file_name: str, dilation: bool) -> None:
    config = inferred(official_state(), file_name=file_name)
    assert (config.heads, config.dilation, config.assumed) == (8, dilation, NOTHING_ASSUMED)


def test_dc5_in_another_file_name_tells_nothing() -> None:
    assert DILATION_ASSUMED in inferred(official_state(), file_name="my-dc5-run.pth").assumed


@pytest.mark.parametrize("nheads", [4, 4.0, "4", " 4 "])
@pytest.mark.parametrize("dilation", [True, 1, 1.0, "true", "True", "1"])
def test_saved_arguments_of_another_type(nheads: object, dilation: object) -> None:
    config = inferred(official_state(), {"nheads": nheads, "dilation": dilation})
    assert (config.heads, config.dilation, config.assumed) == (4, True, NOTHING_ASSUMED)


@pytest.mark.parametrize("dilation", [False, 0, 0.0, "false", "False"])
def test_saved_no_of_another_type(dilation: object) -> None:
    config = inferred(official_state(), {"nheads": 4, "dilation": dilation})
    assert (config.dilation, config.assumed) == (False, NOTHING_ASSUMED)


@pytest.mark.parametrize("nheads", [0, -4, 2.5, "four", True, [4], float("nan"), float("inf"), "9" * 5000])
def test_saved_heads_that_make_no_sense_are_quoted(nheads: object) -> None:
    config = inferred(official_state(), {"nheads": nheads, "dilation": False})
    (note,) = config.assumed
    assert note.startswith("8 heads assumed (the checkpoint says nheads=")
    assert note.endswith(", which is no number of heads): --nheads N changes it")
    assert repr(nheads)[:9] in note
    assert len(note) < 200


@pytest.mark.parametrize("dilation", ["maybe", 2, [True]])
def test_saved_dilation_that_makes_no_sense_is_quoted(dilation: object) -> None:
    config = inferred(official_state(), {"nheads": 4, "dilation": dilation})
    assert config.assumed == (
        f"last stage not dilated, assumed (the checkpoint says dilation={dilation!r}, which is no yes or no): "
        "--dilation changes it",
    )


def test_senseless_arguments_beside_an_official_file_name() -> None:
    config = inferred(official_state(), {"nheads": "x", "dilation": "y"}, "detr-r50-dc5-f0fb7ef5.pth")
    assert (config.heads, config.dilation) == (8, True)
    assert ["nheads='x'" in note or "dilation='y'" in note for note in config.assumed] == [True, True]


def test_heads_option_that_does_not_divide_the_width() -> None:
    with pytest.raises(ChoiceError, match=r"5 heads do not divide the width 32.*1, 2, 4, 8, 16, 32"):
        inferred(official_state(), nheads=5)


def test_saved_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(CheckpointError, match=r"7 heads do not divide.*arguments say so.*--nheads N"):
        inferred(official_state(), {"nheads": 7})


def test_assumed_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(CheckpointError, match=r"8 heads do not divide the width 12.*assumed.*--nheads N"):
        inferred(official_state(width=12))


def test_hugging_face_configuration() -> None:
    args = {
        "model_type": "detr",
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "dilation": True,
        "id2label": {"0": "cat", "1": "dog", "3": "cow"},
        "preprocessor_config": {
            "size": {"shortest_edge": 640, "longest_edge": 1000},
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.25, 0.25, 0.25],
        },
    }
    config = inferred(hugging_face_state(official_state()), args)
    assert (config.heads, config.dilation, config.assumed) == (4, True, NOTHING_ASSUMED)
    assert config.class_names == ("cat", "dog", "", "cow", "")
    assert (config.shortest_px, config.longest_px) == (640, 1000)
    assert (config.mean, config.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_hugging_face_old_preprocessor_sizes() -> None:
    config = inferred(official_state(), {"preprocessor_config": {"size": 480, "max_size": 640}})
    assert (config.shortest_px, config.longest_px) == (480, 640)


def test_hugging_face_fixed_size_is_not_used_and_said() -> None:
    config = inferred(
        official_state(), {"nheads": 4, "dilation": 0, "preprocessor_config": {"size": {"height": 480, "width": 640}}}
    )
    assert (config.shortest_px, config.longest_px) == (800, 1333)
    (note,) = config.assumed
    assert "size={'height': 480, 'width': 640} in preprocessor_config" in note
    assert "not used: shortest side 800, longest at most 1333; --shortest-px and --longest-px" in note


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"shortest_px": "big"}, "shortest_px='big' in the checkpoint is no number of pixels.*--shortest-px N"),
        ({"longest_px": -1}, "longest_px=-1 in the checkpoint is no number of pixels.*--longest-px N"),
        ({"preprocessor_config": {"size": {"shortest_edge": 9, "longest_edge": "x"}}}, "longest_edge='x'"),
        ({"preprocessor_config": {"size": [480, 640]}}, r"size=\[480, 640\] in preprocessor_config"),
        ({"mean": [0.5]}, r"mean=\[0.5\] in the checkpoint is not three numbers"),
        ({"preprocessor_config": {"image_std": "0.2"}}, "image_std='0.2' in the checkpoint is not three numbers"),
    ],
)
def test_preparation_that_makes_no_sense_is_quoted(args: dict[str, Any], words: str) -> None:
    (note,) = inferred(official_state(), {"nheads": 4, "dilation": False, **args}).assumed
    assert re.match(words, note)


@pytest.mark.parametrize(
    "args",
    [
        {"std": [0.2, 0.0, 0.2]},
        {"std": [0.2, -1, 0.2]},
        {"std": [0.2, float("nan"), 0.2]},
        {"mean": [0.2, float("inf"), 0.2]},
        {"preprocessor_config": {"image_std": [0, 0.2, 0.2]}},
        {"preprocessor_config": {"image_mean": [0.2, 0.2, float("nan")]}},
    ],
)
def test_normalisation_that_no_picture_survives(args: dict[str, Any]) -> None:
    table = args.get("preprocessor_config", args)
    ((name, value),) = table.items()
    with pytest.raises(CheckpointError, match=rf"^{name}={re.escape(repr(value))} in .*expected three numbers, finite"):
        inferred(official_state(), args)


def test_hugging_face_placeholders_are_no_names() -> None:
    assert inferred(official_state(), {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}).class_names == ()


@pytest.mark.parametrize(
    ("backbone", "dilation"),
    [
        ({"backbone_kwargs": {"output_stride": 16}}, True),
        ({"backbone_config": {"output_stride": 32}}, False),
        ({}, False),
    ],
)
def test_hugging_face_dilation_as_a_stride(backbone: dict[str, object], dilation: bool) -> None:
    args = {"model_type": "detr", "encoder_attention_heads": 4, "dilation": None, **backbone}
    config = inferred(official_state(), args)
    assert (config.dilation, config.assumed) == (dilation, NOTHING_ASSUMED)


def test_hugging_face_heads_that_differ_between_encoder_and_decoder() -> None:
    with pytest.raises(CheckpointError, match="4 heads in the encoder, 2 in the decoder"):
        inferred(official_state(), {"encoder_attention_heads": 4, "decoder_attention_heads": 2})


def test_relative_by_its_configuration() -> None:
    with pytest.raises(CheckpointError, match="Conditional DETR"):
        inferred(official_state(), {"model_type": "conditional_detr"})


def test_our_own_metadata() -> None:
    args = {
        "format": "detr_attnviz/1",
        "nheads": 4,
        "dilation": True,
        "classes": ["circle", "square", "star", "ring", "heart"],
        "shortest_px": 320,
        "longest_px": 533,
        "mean": [0.4, 0.4, 0.4],
        "std": [0.2, 0.2, 0.2],
    }
    backbone = ResNetShape(blocks=(1, 2, 2, 1), expansion=1, width_per_group=32)
    config = inferred(official_state(backbone=backbone), args)
    assert config.backbone_name == "slim resnet (1,2,2,1)"
    assert (config.bottleneck, config.expansion, config.width_per_group, config.groups) == (True, 1, 32, 1)
    assert (config.heads, config.dilation, config.assumed) == (4, True, NOTHING_ASSUMED)
    assert config.class_names == tuple(args["classes"])  # type: ignore[arg-type]
    assert (config.shortest_px, config.longest_px, config.mean[0], config.std[0]) == (320, 533, 0.4, 0.2)


def test_notebook_model() -> None:
    config = inferred(notebook_state(), file_name="detr_demo-da2a99e9.pth")
    assert (config.notebook, config.pre_norm, config.box_layers, config.positions) == (True, False, 1, "learned")
    assert (config.position_cells, config.assumed) == (50, NOTHING_ASSUMED)


def test_panoptic_model() -> None:
    state = {f"detr.{key}": tensor for key, tensor in official_state().items()} | mask_head()
    assert inferred(state).masks


def test_pre_norm_is_told_by_the_encoders_norm() -> None:
    assert inferred(official_state(pre_norm=True)).pre_norm


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        (ResNetShape((2, 2, 2, 2), bottleneck=False), "resnet18"),
        (ResNetShape((3, 4, 6, 3), bottleneck=False), "resnet34"),
        (ResNetShape((3, 4, 6, 3)), "resnet50"),
        (ResNetShape((3, 4, 23, 3)), "resnet101"),
        (ResNetShape((3, 8, 36, 3)), "resnet152"),
        (ResNetShape((3, 4, 6, 3), groups=32, width_per_group=4), "resnext50_32x4d"),
        (ResNetShape((3, 4, 6, 3), width_per_group=128), "wide_resnet50_2"),
        (ResNetShape((1, 1, 1, 1)), "resnet (1,1,1,1)"),
        (ResNetShape((1, 2, 2, 1), expansion=1, width_per_group=32), "slim resnet (1,2,2,1)"),
    ],
)
def test_backbone_is_read_off_the_shapes(shape: ResNetShape, name: str) -> None:
    with torch.device("meta"):
        state = official_state(backbone=shape)
    config = inferred({name: torch.zeros(()).expand(tensor.shape) for name, tensor in state.items()})
    found = ResNetShape(config.blocks, config.bottleneck, config.expansion, config.width_per_group, config.groups)
    assert found == replace(shape, expansion=shape.expansion if shape.bottleneck else 1)
    assert config.backbone_name == name


@pytest.mark.parametrize(("classes", "names"), [(91, COCO_NAMES), (250, COCO_PANOPTIC_NAMES)])
def test_coco_names_are_assumed_from_the_number_of_classes(classes: int, names: tuple[str, ...]) -> None:
    state = official_state(classes=classes)
    config = inferred(state, {"nheads": 4, "dilation": False})
    assert config.class_names == names
    assert config.assumed == (f"COCO class names assumed from the {classes} class rows: --classes FILE changes them",)
    assert inferred(state, {"nheads": 4, "dilation": False, "dataset_file": "coco"}).assumed == ()
    assert inferred(state, {"nheads": 4, "dilation": False, "dataset_file": "mine"}).class_names == ()
    assert inferred(state, file_name="detr-r50-e632da11.pth").assumed == ()


def test_detectron2_counts_the_80_classes_without_gaps() -> None:
    config = inferred(detectron2_state(official_state(classes=80)), {"nheads": 4, "dilation": False})
    assert config.class_names == COCO_CONTIGUOUS_NAMES
    assert config.class_names[0] == "person"


def test_incomplete_state_names_what_is_missing() -> None:
    state = official_state()
    for key in ("class_embed.weight", "query_embed.weight"):
        del state[key]
    with pytest.raises(CheckpointError, match=r"2 tensors.*missing: query_embed\.weight, class_embed\.weight"):
        inferred(state)


def test_contradicting_shapes_are_named_together() -> None:
    state = official_state()
    state["class_embed.bias"] = torch.zeros(9)
    state["transformer.decoder.layers.1.linear1.weight"] = torch.zeros(64, 48)
    with pytest.raises(CheckpointError) as caught:
        inferred(state)
    assert "class_embed.bias [9] instead of [6]" in str(caught.value)
    assert "transformer.decoder.layers.1.linear1.weight [64, 48] instead of [64, 32]" in str(caught.value)


def test_gap_in_the_layers_is_named() -> None:
    state = {key: tensor for key, tensor in official_state(decoder_layers=3).items() if "decoder.layers.1." not in key}
    with pytest.raises(
        CheckpointError,
        match=r"transformer\.decoder\.layers\.1 missing, although transformer\.decoder\.layers\.2 is there",
    ):
        inferred(state)


def test_tensor_of_a_strange_shape_is_an_error_of_ours() -> None:
    state = official_state() | {"query_embed.weight": torch.zeros(3)}
    with pytest.raises(CheckpointError, match=r"strange shape: query_embed\.weight \[3\]"):
        inferred(state)


def test_infer_takes_any_renamed_state() -> None:
    assert infer(Renamed(official_state(), "official"), args={}, file_name="", nheads=4).width == 32


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("backbone.0.body.layer1.0.conv3.weight", ()),
        ("backbone.0.body.layer1.0.conv3.weight", (64,)),
        ("class_embed.weight", (0, 32)),
        ("class_embed.bias", (0,)),
    ],
)
def test_sizes_are_read_off_whole_shapes_only(key: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match=f"strange shape: {re.escape(key)}"):
        inferred(official_state() | {key: torch.zeros(shape)})


def test_many_gaps_are_named_in_short() -> None:
    state = official_state() | {"transformer.decoder.layers.99.norm3.bias": torch.zeros(32)}
    with pytest.raises(CheckpointError, match=r"layers\.9, … and 89 more missing, although .*layers\.99 is there"):
        inferred(state)


def test_sizes_of_a_model_that_the_file_cannot_hold_are_refused() -> None:
    wide, body = 300_000, "backbone.0.body.layer"
    state = {
        key: tensor
        for key, tensor in official_state().items()
        if not re.match(f"{body}[234].*(conv|downsample.0)", key)
    }
    shapes = {
        "1.0.conv1.weight": (wide, 64, 1, 1),
        "1.0.conv2.weight": (wide, 1, 3, 3),
        "1.0.conv3.weight": (64, wide, 1, 1),
    }
    state |= {body + name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    with pytest.raises(CheckpointError, match=r"ask for a model of 2,\d{3},\d{3},\d{3} numbers.*the file is not whole"):
        inferred(state)


@pytest.mark.parametrize("heads", [10**5000, -(10**5000)], ids=["above 0", "below 0"])
def test_heads_of_thousands_of_digits_are_quoted_by_their_bits(heads: int) -> None:
    config = inferred(official_state(heads=8), {"nheads": heads})
    assert config.heads == 8
    assert "nheads=<a number of 16610 bits>" in config.assumed[0]


def test_class_names_of_any_type() -> None:
    state = official_state()
    assert inferred(state, {"nheads": 4, "classes": torch.ones(3), "class_names": ["a", "b"]}).class_names == ("a", "b")
    labels = {"0": "cat", 2: "dog", "9" * 5000: "far", 10**5000: "farther", "1": 10**5000}
    names = inferred(state, {"nheads": 4, "id2label": labels}).class_names
    assert names == ("cat", "<a number of 16610 bits>", "dog", "", "")


@pytest.mark.parametrize("args", [{"classes": ["x" * 5000] * 5}, {"id2label": dict.fromkeys("01234", "x" * 5000)}])
def test_names_without_end_are_cut(args: dict[str, object]) -> None:
    names = inferred(official_state(), args).class_names
    assert [len(name) for name in names] == [1000] * 5
    assert names[0].endswith("x…")
