"""Every dialect becomes the official keys bit for bit, and every key is accounted for."""

import pytest
import torch

from detr_attnviz.checkpoints.naming import canonical
from detr_attnviz.errors import CheckpointError
from tests.checkpoints.states import (
    State,
    detectron2_state,
    hugging_face_state,
    mask_head,
    notebook_state,
    official_state,
    parity_state,
    prefixed,
)
from tests.parity.cases import CASES


def assert_same(found: State, expected: State) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "prefix", ["", "module.", "detr.", "model.", "module.detr.", "_orig_mod.module.", "model.model.", "net."]
)
def test_official_keys_under_any_prefix(prefix: str) -> None:
    state = official_state()
    found = canonical(prefixed(state, prefix))
    assert_same(found.tensors, state)
    assert (found.dialect, found.unknown, found.prefixes) == ("official", (), (prefix,) if prefix else ())


@pytest.mark.parametrize("changes", [{"positions": "learned"}, {"pre_norm": True}])
def test_learned_positions_and_pre_norm(changes: dict[str, object]) -> None:
    state = official_state(**changes)
    assert_same(canonical(state).tensors, state)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_panoptic_checkpoint(prefix: str) -> None:
    state = official_state()
    found = canonical(prefixed(prefixed(state, "detr.") | mask_head(), prefix))
    assert_same(found.tensors, state)
    assert_same(found.extra, mask_head() | found.extra)
    assert found.extra.keys() == mask_head().keys()
    assert (found.dialect, found.unknown) == ("panoptic", ())


def test_detr_prefix_alone_is_not_panoptic() -> None:
    assert canonical(prefixed(official_state(), "detr.")).dialect == "official"


def test_detectron2_checkpoint() -> None:
    state = official_state()
    found = canonical(detectron2_state(state) | {"criterion.empty_weight": torch.ones(6), "pixel_mean": torch.ones(3)})
    assert_same(found.tensors, state)
    assert (found.dialect, found.unknown) == ("detectron2", ())
    assert found.ignored == ("criterion.empty_weight", "pixel_mean")


def test_notebook_checkpoint() -> None:
    found = canonical(notebook_state())
    assert_same(found.tensors, official_state(positions="learned", notebook=True, box_layers=1))
    assert (found.dialect, found.unknown) == ("notebook", ())
    assert found.ignored == ("backbone.bn1.num_batches_tracked",)


@pytest.mark.parametrize("positions", ["sine", "learned"])
@pytest.mark.parametrize("is_native", [False, True])
@pytest.mark.parametrize("is_v5", [False, True])
def test_hugging_face_checkpoint(is_v5: bool, is_native: bool, positions: str) -> None:
    state = official_state(positions=positions)
    found = canonical(hugging_face_state(state, is_v5=is_v5, is_native=is_native))
    assert_same(found.tensors, state)
    assert (found.dialect, found.unknown) == ("hugging-face", ())


def test_hugging_face_base_model_keys_without_prefix() -> None:
    state = official_state()
    bare = {key.removeprefix("model."): tensor for key, tensor in hugging_face_state(state).items()}
    assert_same(canonical(bare).tensors, state)


def test_hugging_face_attention_that_lacks_its_keys_is_listed() -> None:
    state = hugging_face_state(official_state())
    del state["model.encoder.layers.0.self_attn.k_proj.weight"]
    assert canonical(state).unknown == (
        "model.encoder.layers.0.self_attn.q_proj.weight",
        "model.encoder.layers.0.self_attn.v_proj.weight",
    )


def test_unknown_keys_are_listed_sorted_as_the_file_spells_them() -> None:
    odd = {"module.zebra.weight": torch.ones(1), "module.antler": torch.ones(1)}
    found = canonical(prefixed(official_state(), "module.") | odd)
    assert found.unknown == ("module.antler", "module.zebra.weight")


def test_counters_and_classifier_are_ignored_knowingly() -> None:
    junk = {
        "total_ops": torch.zeros(1),
        "n_averaged": torch.tensor(5),
        "transformer.total_params": torch.zeros(1),
        "backbone.0.body.layer1.0.bn1.num_batches_tracked": torch.tensor(3),
        "backbone.0.body.fc.weight": torch.zeros(10, 512),
        "backbone.0.body.fc.bias": torch.zeros(10),
    }
    found = canonical(official_state() | junk)
    assert found.ignored == tuple(sorted(junk))
    assert found.unknown == ()


def test_a_convolution_with_a_bias_is_unknown_because_detr_has_none() -> None:
    assert canonical(official_state() | {"backbone.0.body.conv1.bias": torch.ones(64)}).unknown == (
        "backbone.0.body.conv1.bias",
    )


def test_one_tensor_under_two_prefixes() -> None:
    twice = official_state() | {"module.class_embed.bias": torch.zeros(6)}
    with pytest.raises(CheckpointError, match=r"there twice.*class_embed\.bias and module\.class_embed\.bias"):
        canonical(twice)


def test_nothing_of_a_detr() -> None:
    with pytest.raises(CheckpointError, match=r"none of its 1 tensors.*in_proj_weight"):
        canonical({"something.weight": torch.zeros(1)})


@pytest.mark.parametrize("case", CASES)
def test_every_official_tensor_of_the_parity_cases_is_placed(case: str) -> None:
    state = parity_state(case)
    found = canonical(state)
    assert found.unknown == ()
    assert len(found.tensors) + len(found.extra) == len(state)


@pytest.mark.parametrize("number", ["999999999999", "100", "007", "-1", "٣", pytest.param("9" * 5000, id="many")])
def test_a_number_that_no_layer_has_is_unknown(number: str) -> None:
    key = f"transformer.decoder.layers.{number}.norm3.bias"
    found = canonical(official_state() | {key: torch.zeros(32)})
    assert found.unknown == (key,)
