"""Original checkpoints are recognised by their tensors, and refused with every name that does not fit."""

import pytest
import torch

from detr_attnviz.checkpoints.originals.recognise import original
from detr_attnviz.errors import CheckpointError, CheckpointKeysError, ChoiceError
from tests.checkpoints.originals.goldens import CASES, golden, published_state
from tests.checkpoints.states import official_state, prefixed

TYPES = {
    "conditional-detr": "conditional_detr",
    "dab-detr": "dab-detr",
    "deformable-detr": "deformable_detr",
    "rt-detr": "rt_detr",
    "rt-detr-v2": "rt_detr_v2",
    "d-fine": "d_fine",
}


@pytest.mark.parametrize(("name", "model_type"), TYPES.items())
def test_each_repository_is_recognised(name: str, model_type: str) -> None:
    case = golden(name)
    found = original(case.tensors, case.args)
    assert found is not None
    assert (found.model_type, found.config["model_type"]) == (model_type, model_type)
    assert len(found.config["architectures"]) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_assumed_that_arguments_tell(name: str) -> None:
    case = golden(name)
    found = original(case.tensors, case.args | {"cross_attn_method": "default"} if "v2" in name else case.args)
    assert found is not None
    assert found.assumed == ()


def test_other_layouts_are_left_to_others() -> None:
    assert original(official_state(), {}) is None
    dino = published_state("deformable-r50-two-stage", (4, 4, 4)) | {
        "transformer.tgt_embed.weight": torch.zeros(2, 256)
    }
    assert original(dino, {}) is None
    assert original({}, {}) is None


def test_prefixes_of_wrappers_do_not_matter() -> None:
    case = golden("rt-detr")
    plain, wrapped = original(case.tensors, case.args), original(prefixed(case.tensors, "module."), case.args)
    assert plain is not None
    assert wrapped is not None
    assert plain.config == wrapped.config
    assert plain.tensors.keys() == wrapped.tensors.keys()


def test_packed_projections_come_out_in_three_parts() -> None:
    case = golden("deformable-detr")
    found = original(case.tensors, case.args)
    assert found is not None
    parts = [found.tensors[f"model.decoder.layers.1.self_attn.{part}_proj.weight"] for part in "qkv"]
    assert torch.equal(torch.cat(parts), case.tensors["transformer.decoder.layers.1.self_attn.in_proj_weight"])


@pytest.mark.parametrize("name", TYPES)
def test_every_tensor_missing_or_over_is_listed(name: str) -> None:
    case = golden(name)
    tensors = dict(case.tensors)
    gone = sorted(key for key in tensors if key.endswith(("norm1.bias", "out_proj.weight")))
    for key in gone:
        del tensors[key]
    over = {"transformer.extra.weight": torch.ones(1), "decoder.another.bias": torch.ones(1)}
    with pytest.raises(CheckpointKeysError, match=r"x\.pth, read as .* of its original repository.*missing") as caught:
        original(tensors | over, case.args, "x.pth")
    assert set(gone) <= set(caught.value.missing)
    assert caught.value.unexpected == tuple(sorted(over))


def test_counters_of_batch_norms_may_be_there_or_not() -> None:
    case = golden("rt-detr-bottleneck")
    counters = {key for key in case.tensors if key.endswith("num_batches_tracked")}
    assert any(key.startswith("backbone.") for key in counters)
    without = {key: tensor for key, tensor in case.tensors.items() if key not in counters}
    both = [original(tensors, case.args) for tensors in (case.tensors, without)]
    assert both[0] is not None
    assert both[1] is not None
    assert both[0].tensors.keys() == both[1].tensors.keys()


def test_what_a_profiler_left_is_ignored() -> None:
    case = golden("conditional-detr")
    assert original(case.tensors | {"transformer.total_ops": torch.zeros(1)}, case.args) is not None


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("conditional-detr", {"position_embedding": "learned"}, r"position_embedding='learned'.*'sine'"),
        ("conditional-detr", {"backbone": "swin_L_384_22k"}, r"backbone='swin_L_384_22k'.*'resnet50'"),
        ("conditional-detr", {"pre_norm": True}, r"pre_norm=True"),
        ("dab-detr", {"dilation": True}, r"dilated \(DC5\), which is supported for resnet50"),
        ("deformable-detr", {"position_embedding": "xyz"}, r"position_embedding='xyz'"),
        ("rt-detr-v2", {"cross_attn_method": "nearest"}, r"cross_attn_method='nearest'.*'default', 'discrete'"),
        ("rt-detr", {"query_select_method": "agnostic"}, r"query_select_method='agnostic'"),
        ("d-fine", {"cross_attn_method": "discrete"}, r"cross_attn_method='discrete'"),
    ],
)
def test_an_argument_that_was_not_taught_is_refused_by_name(name: str, args: dict[str, object], words: str) -> None:
    case = golden(name)
    with pytest.raises(CheckpointError, match=words):
        original(case.tensors, case.args | args)


def test_a_dilated_model_gets_the_resnet_of_timm_with_a_stride_of_16() -> None:
    case = golden("conditional-detr-dc5")
    found = original(case.tensors, case.args)
    assert found is not None
    backbone = found.config["backbone_config"]
    assert isinstance(backbone, dict)
    assert (backbone["model_type"], backbone["backbone"], backbone["output_stride"]) == (
        "timm_backbone",
        "resnet50",
        16,
    )
    assert found.config["dilation"] is True


def test_an_argument_is_refused_before_the_tensors_that_come_with_it() -> None:
    case = golden("conditional-detr")
    learned = {"backbone.1.row_embed.weight": torch.zeros(50, 128)}
    with pytest.raises(CheckpointError, match="position_embedding='learned' is not supported"):
        original(case.tensors | learned, case.args | {"position_embedding": "learned"})
    with pytest.raises(CheckpointKeysError, match=r"backbone\.1\.row_embed\.weight"):
        original(case.tensors | learned, {})


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    case = golden("deformable-detr")
    with pytest.raises(ChoiceError, match="7 heads do not divide the width 64"):
        original(case.tensors, case.args | {"nheads": 7})


def test_a_wide_resnet_is_refused() -> None:
    case = golden("deformable-detr")
    body = "backbone.0.body.layer1.0."
    wide = {f"{body}conv2.weight": torch.zeros(128, 128, 3, 3)}
    with pytest.raises(CheckpointError, match="a wide or grouped ResNet"):
        original(case.tensors | wide, case.args)


def test_activation_without_weights_comes_from_the_arguments() -> None:
    case = golden("dab-detr")
    plain = {key: tensor for key, tensor in case.tensors.items() if not key.endswith("activation.weight")}
    told = original(plain, case.args | {"transformer_activation": "gelu"})
    assert told is not None
    assert told.config["activation_function"] == "gelu"
    silent = original(plain, {key: value for key, value in case.args.items() if key != "transformer_activation"})
    assert silent is not None
    assert "ReLU assumed between the linear layers (the checkpoint does not say)" in silent.assumed


def test_class_names_come_from_the_arguments() -> None:
    case = golden("rt-detr")
    names = [f"shape {number}" for number in range(7)]
    found = original(case.tensors, case.args | {"classes": names})
    assert found is not None
    assert found.config["id2label"] == {str(label): name for label, name in enumerate(names)}


def test_layers_after_the_predicting_one_are_left_out() -> None:
    case = golden("rt-detr")
    found = original(case.tensors, case.args | {"eval_idx": 1})
    assert found is not None
    assert found.config["decoder_layers"] == 2
    assert not any(key.startswith("model.decoder.layers.2.") for key in found.tensors)


@pytest.mark.parametrize("scale", [0.3, 0.0, -1.0, float("nan")])
def test_sampling_points_that_are_no_shares_are_refused(scale: float) -> None:
    case = golden("d-fine")
    key = "decoder.decoder.layers.0.cross_attn.num_points_scale"
    wrong = {key: torch.full_like(case.tensors[key], scale)}
    with pytest.raises(CheckpointError, match="expected one over the points of each level"):
        original(case.tensors | wrong, case.args)


def test_levels_and_their_projections_must_agree() -> None:
    case = golden("deformable-detr")
    wrong = {"transformer.level_embed": torch.zeros(()).expand(500_000, 32)}
    with pytest.raises(CheckpointError, match=r"level_embed has 500000 rows for \d projections.*expected one for each"):
        original(case.tensors | wrong, case.args)


@pytest.mark.parametrize("shape", [(), (0,), (2,), (95,)])
def test_a_packed_tensor_without_thirds_is_listed(shape: tuple[int, ...]) -> None:
    case = golden("conditional-detr")
    key = "transformer.encoder.layers.0.self_attn.in_proj_bias"
    with pytest.raises(CheckpointKeysError, match=r"1 of another shape .*instead of \[3·width, …\]"):
        original(case.tensors | {key: torch.zeros(shape)}, case.args)


@pytest.mark.parametrize(
    "scale", [torch.ones(2, 3), torch.ones(()), torch.ones(6, dtype=torch.int64), torch.zeros(()).expand(10**6)]
)
def test_sampling_points_in_another_form_are_refused(scale: torch.Tensor) -> None:
    case = golden("d-fine")
    key = "decoder.decoder.layers.0.cross_attn.num_points_scale"
    with pytest.raises(CheckpointError, match="expected a list of floating-point numbers, one for each of at most 128"):
        original(case.tensors | {key: scale}, case.args)


def test_a_share_that_no_number_of_points_has_is_refused() -> None:
    case = golden("d-fine")
    key = "decoder.decoder.layers.0.cross_attn.num_points_scale"
    with pytest.raises(CheckpointError, match="expected one over the points of each level"):
        original(case.tensors | {key: torch.full_like(case.tensors[key], 1e-30)}, case.args)


@pytest.mark.parametrize("value", [torch.ones(3), torch.ones(()), 10**5000], ids=["tensor", "number", "digits"])
def test_an_argument_of_another_type_is_refused_by_its_name(value: object) -> None:
    case = golden("conditional-detr")
    with pytest.raises(CheckpointError, match="pre_norm=.* is not supported; supported are False"):
        original(case.tensors, {**case.args, "pre_norm": value})


@pytest.mark.parametrize("number", ["9999999999", "100", "9" * 5000], ids=["ten", "three", "many"])
def test_a_number_that_no_layer_has_is_listed(number: str) -> None:
    case = golden("dab-detr")
    key = f"transformer.encoder.layers.{number}.norm1.bias"
    with pytest.raises(CheckpointKeysError) as caught:
        original(case.tensors | {key: torch.zeros(1)}, case.args)
    assert (caught.value.unexpected, caught.value.missing) == ((key,), ())
