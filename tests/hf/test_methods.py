"""Methods on transformers' models: DETR by its code and by ours are two implementations of the same numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from detr_attnviz.detector import load
from detr_attnviz.errors import ChoiceError
from detr_attnviz.families.hf_family import HFFamily
from detr_attnviz.families.native import NativeFamily
from detr_attnviz.methods.explain import explain
from detr_attnviz.trace import Trace
from tests.hf import tiny_dense, tiny_sampled
from tests.tiny import drawn_picture

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
SIDES = {"shortest_px": 128, "longest_px": 192}
PICTURE = drawn_picture(192, 128)  # of that size already, so that no resizing differs


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trace, Trace]:
    """The same weights by the package's own model and by transformers'."""
    folder = tmp_path_factory.mktemp("detr")
    backbone = transformers.ResNetConfig(
        embedding_size=64,
        hidden_sizes=[64, 128, 256, 512],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage4"],
    )
    tiny_dense.save_folder("detr", folder, backbone_config=backbone)
    native, built = load(folder), load(transformers.DetrForObjectDetection.from_pretrained(folder))
    assert isinstance(native.family, NativeFamily)
    assert isinstance(built.family, HFFamily)
    return native.trace(PICTURE, **SIDES), built.trace(PICTURE, **SIDES)


def test_inputs_and_output_are_the_same(both: tuple[Trace, Trace]) -> None:
    native, built = both
    torch.testing.assert_close(native.prepared.inputs["images"], built.prepared.inputs["images"], atol=1e-5, rtol=0)
    torch.testing.assert_close(native.logits, built.logits, atol=2e-5, rtol=0)
    assert native.sites == built.sites
    assert native.grid == built.grid


@pytest.mark.parametrize("method", ["raw", "value-norm", "rollout", "relevance", "gradcam", "attn-gradcam"])
def test_every_method_gives_the_same(both: tuple[Trace, Trace], method: str) -> None:
    layer = 0 if method == "attn-gradcam" else -1  # nothing is above zero in its last layer here
    maps = [explain(trace, method=method, layer=layer, queries=range(6)).maps for trace in both]
    assert maps[0].max() > 0
    np.testing.assert_allclose(maps[0] / maps[0].max(), maps[1] / maps[0].max(), atol=1e-4)


def test_heads_layers_and_encoder_points_are_the_same(both: tuple[Trace, Trace]) -> None:
    for asked in (
        {"kind": "encoder", "points": [(40, 20)], "direction": "to", "layer": "all"},
        {"queries": [1], "head": 1, "layer": 0},
        {"kind": "decoder-self", "queries": [1], "head": "entropy-weighted"},
    ):
        native, built = (explain(trace, **asked).maps for trace in both)
        np.testing.assert_allclose(native, built, atol=1e-5)


@pytest.mark.parametrize("method", ["rollout", "relevance", "attn-gradcam", "decompose"])
def test_one_stack_of_cells_and_queries_is_no_encoder_and_decoder(tmp_path: Path, method: str) -> None:
    tiny_dense.save_folder("yolos", tmp_path)
    trace = load(tmp_path).trace(PICTURE)
    with pytest.raises(ChoiceError, match=r"is part of one attention over cells and queries together"):
        explain(trace, method=method, queries=[0])
    found = explain(trace, queries=[0, 1])
    assert found.rest_where == "on other tokens"
    np.testing.assert_allclose(found.maps.sum((1, 2)) + found.rest, 1, atol=1e-5)


def test_heads_are_weighed_by_what_they_give_to_cells(tmp_path: Path) -> None:
    tiny_dense.save_folder("yolos", tmp_path)
    trace = load(tmp_path).trace(PICTURE)
    cell = trace.cells_at([(40, 20)], "encoder.1.self")[0]
    rows = trace.records.dense("encoder.1.self").map()[0]  # [heads cells cells], each sums to less than 1
    rows = rows / rows.sum(-1, keepdim=True)
    sharpness = (torch.log(torch.tensor(float(rows.shape[-1]))) - torch.special.entr(rows).sum(-1)).clamp(min=0)
    weights = sharpness / sharpness.sum(0)
    expected = (weights * trace.records.dense("encoder.1.self").map()[0, :, :, cell]).sum(0)
    found = explain(trace, kind="encoder", points=[(40, 20)], direction="to", head="entropy-weighted")
    np.testing.assert_allclose(found.maps[0].ravel(), expected, rtol=1e-4)


def test_encoder_layers_on_different_feature_maps_have_no_mean(tmp_path: Path) -> None:
    tiny_sampled.save_folder("rt_detr", tmp_path, encode_proj_layers=[1, 2])
    trace = load(tmp_path).trace(PICTURE)
    grids = [explain(trace, kind="encoder", points=[(40, 20)], layer=layer).grid for layer in (0, 1)]
    assert [grid.stride_px for grid in grids] == [16, 32]
    with pytest.raises(ChoiceError, match="encoder.0.self and encoder.1.self lie on different feature maps"):
        explain(trace, kind="encoder", points=[(40, 20)], layer="all")


@pytest.mark.parametrize("model_type", ["conditional_detr", "dab-detr"])
def test_terms_are_drawn_alone(tmp_path: Path, model_type: str) -> None:
    tiny_dense.save_folder(model_type, tmp_path)
    trace = load(tmp_path).trace(PICTURE)
    record = trace.records.dense("decoder.1.cross")
    whole, content, spatial = (explain(trace, queries=[0], head=1, term=term) for term in ("", "content", "spatial"))
    torch.testing.assert_close(
        record.logits(term="content") + record.logits(term="spatial"), record.logits(), atol=1e-5, rtol=1e-5
    )
    with pytest.raises(ChoiceError, match=r"decoder\.1\.cross is none: choose term content or spatial instead"):
        explain(trace, method="decompose", queries=[0])
    product = content.maps * spatial.maps  # softmax of a sum is the product of softmaxes, made to sum to 1
    np.testing.assert_allclose(whole.maps, product / product.sum(), rtol=1e-3, atol=1e-7)
    assert (content.term, spatial.term) == ("content", "spatial")
