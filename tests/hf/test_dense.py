"""Dense attention of transformers' models, against the weights that the models themselves return."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detr_attnviz.errors import ChoiceError
from detr_attnviz.families.hf_dense import dense_sites
from tests.hf.tiny_dense import WITH_MASK, tiny, tiny_inputs
from tests.hf.truth import EVERY, eager, in_one_picture, recorded, returned, rows_in_one_picture, with_mask

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

ONE_LEVEL = ("rt_detr", "rt_detr_v2", "d_fine", "deimv2", "pp_doclayout_v2", "pp_doclayout_v3", "pp_doclayout_v4")
HOOKED = ("yolos", "dab-detr", "table-transformer", "grounding-dino", "mm-grounding-dino")
TWO_TERMS = ("conditional_detr", "dab-detr")


@pytest.mark.parametrize("model_type", EVERY)
def test_maps_are_the_weights_that_eager_attention_returns(model_type: str) -> None:
    model = tiny(model_type)
    inputs = with_mask(model_type, tiny_inputs(model_type, 128, 128, batch=2))
    fused, _ = recorded(model, inputs)
    weights = returned(model, inputs)
    plain, _ = recorded(eager(model), inputs, output_attentions=True)
    assert set(fused) == set(weights)
    for name, expected in weights.items():
        truth = in_one_picture(expected, model_type, name)
        torch.testing.assert_close(plain[name].map(), truth, atol=1e-5, rtol=0)
        torch.testing.assert_close(fused[name].map(), truth, atol=1e-5, rtol=0)
        assert truth.std(dim=-1).max() > 0.02, f"{name} looks everywhere alike: nothing was tested"


@pytest.mark.parametrize("model_type", ["detr", "conditional_detr", "dab-detr", "table-transformer"])
def test_maps_are_those_that_the_model_itself_gives_out(model_type: str) -> None:
    model = eager(tiny(model_type))
    records, output = recorded(model, tiny_inputs(model_type, 96, 128), output_attentions=True)
    for layer in range(2):
        for name, given in (
            (f"encoder.{layer}.self", output.encoder_attentions),
            (f"decoder.{layer}.self", output.decoder_attentions),
            (f"decoder.{layer}.cross", output.cross_attentions),
        ):
            torch.testing.assert_close(records[name].map(), given[layer], atol=1e-5, rtol=0)


@pytest.mark.parametrize("model_type", EVERY)
def test_recording_changes_no_bit_of_the_output(model_type: str) -> None:
    model = tiny(model_type)
    inputs = with_mask(model_type, tiny_inputs(model_type, 128, 128, batch=2))
    with torch.no_grad():
        plain = model(**inputs)
    _, output = recorded(model, inputs)
    assert torch.equal(output.logits, plain.logits)
    assert torch.equal(output.pred_boxes, plain.pred_boxes)


@pytest.mark.parametrize("model_type", WITH_MASK)
def test_padded_batch_gives_each_picture_its_own_maps(model_type: str) -> None:
    """Convolutions see padding and change what they make of the edge, so both get the same features."""
    model = tiny(model_type)
    backbone = next(part for part in model.modules() if isinstance(part, transformers.ResNetBackbone))
    features: list[Tensor] = []
    inputs = tiny_inputs(model_type, 128, 192, batch=2)
    inputs["pixel_mask"] = torch.ones(2, 128, 192, dtype=torch.long)
    inputs["pixel_mask"][1, 96:] = inputs["pixel_mask"][1, :, 128:] = 0
    handle = backbone.register_forward_hook(lambda part, args, output: features.append(output.feature_maps[0]))
    batch, _ = recorded(model, inputs)
    handle.remove()

    def crop(part: nn.Module, args: object, output: Any) -> Any:
        output.feature_maps = (features[0][1:, :, :3, :4],)
        return output

    backbone.register_forward_hook(crop)
    single, _ = recorded(model, tiny_inputs(model_type, 96, 128))
    cells = [row * 6 + col for row in range(3) for col in range(4)]
    padding = sorted(set(range(24)) - set(cells))
    for name in single:
        maps = batch[name].map()[1:]
        if name.startswith("encoder"):
            maps = maps[:, :, cells]
        if not name.startswith("decoder") or name.endswith("cross"):
            assert not maps[..., padding].any()
            maps = maps[..., cells]
        torch.testing.assert_close(maps, single[name].map(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("model_type", EVERY)
def test_rows_sum_to_one_where_every_token_is_shown(model_type: str) -> None:
    model = tiny(model_type)
    records, _ = recorded(model, with_mask(model_type, tiny_inputs(model_type, 128, 128, batch=2)))
    for name in records:
        sums = records[name].map().sum(-1)
        if model_type == "yolos" or (model_type == "rf_detr" and name.startswith("encoder")):
            assert (sums < 1 + 1e-5).all()
            assert sums.min() < 0.99
        else:
            torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-5, rtol=0)


def test_yolos_shares_each_detection_tokens_attention_among_patches_detections_and_class() -> None:
    model = tiny("yolos")
    inputs = tiny_inputs("yolos", 64, 96)
    records, _ = recorded(model, inputs)
    weights = returned(model, inputs)["decoder.1.cross"]
    shares = [records[f"decoder.1.{kind}"].map().sum(-1) for kind in ("self", "cross")]
    torch.testing.assert_close(sum(shares) + weights[:, :, -6:, 0], torch.ones(1, 4, 6), atol=1e-5, rtol=0)
    assert (records["encoder.1.self"].queries, records["encoder.1.self"].tokens) == (24, 24)
    assert (records["decoder.1.cross"].queries, records["decoder.1.cross"].tokens) == (6, 24)


@pytest.mark.parametrize("model_type", TWO_TERMS)
def test_terms_of_the_logits_add_up(model_type: str) -> None:
    records, _ = recorded(tiny(model_type), tiny_inputs(model_type, 96, 128))
    for layer in range(2):
        cross = records[f"decoder.{layer}.cross"]
        content, spatial = cross.logits(term="content"), cross.logits(term="spatial")
        torch.testing.assert_close(content + spatial, cross.logits(), atol=1e-5, rtol=0)
        assert content.std() > 0.1
        assert spatial.std() > 0.1
        assert records[f"decoder.{layer}.self"].terms == ()


@pytest.mark.parametrize("model_type", TWO_TERMS)
def test_spatial_term_does_not_depend_on_what_the_tokens_hold(model_type: str) -> None:
    """In layer 0 the query's sine position is not scaled by its content yet, and content is all that is left."""
    model = tiny(model_type)
    one, _ = recorded(model, tiny_inputs(model_type, 96, 128))
    other, _ = recorded(model, {"pixel_values": -tiny_inputs(model_type, 96, 128)["pixel_values"]})
    spatial = [records["decoder.0.cross"].logits(term="spatial") for records in (one, other)]
    content = [records["decoder.0.cross"].logits(term="content") for records in (one, other)]
    torch.testing.assert_close(*spatial)
    assert (content[0] - content[1]).abs().max() > 0.1


@pytest.mark.parametrize("model_type", EVERY)
def test_values_through_the_map_are_what_the_module_writes(model_type: str) -> None:
    model = tiny(model_type)
    inputs = with_mask(model_type, tiny_inputs(model_type, 128, 128, batch=2))
    written = returned(model, inputs, part=0)
    records, _ = recorded(model, inputs, output_attentions=True)
    for site in dense_sites(model):
        call = records[site.name].call
        logits = call.scale * call.query @ call.key.transpose(2, 3) + (0 if call.mask is None else call.mask)
        bias = [part for part in site.module.modules() if isinstance(part, nn.Linear)][-1].bias
        made = torch.einsum("bhqt,bhtd,hdw->bqw", logits.softmax(-1), call.value, call.out) + bias
        expected = rows_in_one_picture(written[site.name], model_type, site.name)
        torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)  # sums over tokens in another order


@pytest.mark.parametrize("model_type", ONE_LEVEL)
def test_hybrid_encoders_attend_within_one_level(model_type: str) -> None:
    model = tiny(model_type)
    sites = {site.name: site for site in dense_sites(model)}
    records, _ = recorded(model, tiny_inputs(model_type, 128, 192))
    assert sites["encoder.0.self"].level == 2
    assert records["encoder.0.self"].tokens == 4 * 6


def test_hybrid_encoder_of_two_levels_numbers_its_layers_through() -> None:
    model = tiny("rt_detr", encode_proj_layers=[1, 2], encoder_layers=2)
    encoder = [site for site in dense_sites(model) if site.kind == "encoder-self"]
    assert [(site.name, site.level) for site in encoder] == [
        ("encoder.0.self", 1),
        ("encoder.1.self", 1),
        ("encoder.2.self", 2),
        ("encoder.3.self", 2),
    ]
    records, _ = recorded(model, tiny_inputs("rt_detr", 128, 192))
    assert [records[site.name].tokens for site in encoder] == [96, 96, 24, 24]


LITE = {
    "encoder_type": "lite",
    "encoder_in_channels": [24, 32],
    "decoder_in_channels": [32, 32],
    "feat_strides": [16, 32],
    "num_feature_levels": 2,
    "decoder_n_points": [3, 6],
}


@pytest.mark.parametrize(("model_type", "changes"), [("rt_detr", {"encoder_layers": 0}), ("deimv2", LITE)])
def test_encoder_without_attention_has_no_sites(model_type: str, changes: dict[str, Any]) -> None:
    assert [site.name for site in dense_sites(tiny(model_type, **changes))] == ["decoder.0.self", "decoder.1.self"]


@pytest.mark.parametrize("model_type", ["detr", "conditional_detr", "dab-detr", "table-transformer", "yolos"])
def test_sites_are_the_encoders_then_the_decoders(model_type: str) -> None:
    sites = dense_sites(tiny(model_type))
    names = "encoder.0.self encoder.1.self decoder.0.self decoder.0.cross decoder.1.self decoder.1.cross"
    assert " ".join(site.name for site in sites) == names
    assert [site.kind for site in sites[:3:2]] == ["encoder-self", "decoder-self"]
    assert [site.layer for site in sites] == [0, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("model_type", EVERY)
def test_modules_with_the_interface_are_heard_and_others_hooked(model_type: str) -> None:
    is_heard = {site.listen is not None for site in dense_sites(tiny(model_type))}
    assert is_heard == {model_type not in HOOKED}


def test_unknown_family_is_refused_by_name() -> None:
    model: Any = nn.Module()
    model.config = SimpleNamespace(model_type="detr_of_tomorrow")
    with pytest.raises(ChoiceError, match=r"'detr_of_tomorrow'.*conditional_detr.*yolos"):
        dense_sites(model)
