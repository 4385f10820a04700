"""The words over a sheet, for every method and every choice of layers and heads."""

import dataclasses
from typing import Any

import pytest

from detr_attnviz.drawing.headings import heading
from tests.drawing.scenes import cross, decoder_self, encoder, sampled, sampled_encoder, terms


def title_of(**changes: Any) -> str:
    return heading(dataclasses.replace(cross(), **changes))[0]


def test_heading_says_layer_head_site_picture_and_checkpoint() -> None:
    title, details = heading(cross())
    assert title == "Decoder cross-attention, layer 5, mean of heads"
    assert details == "pets.jpg · decoder.5.cross · checkpoint detr-r50 e632da11"


def test_heading_carries_a_note_of_the_provenance() -> None:
    explanation = dataclasses.replace(cross(), provenance={"note": "nothing passed 0.7: the three best"})
    assert heading(explanation)[-1] == "nothing passed 0.7: the three best"


def test_heading_of_one_head_and_of_the_maximum() -> None:
    assert heading(encoder())[0] == "Encoder self-attention, layer 3, head 2"
    assert heading(decoder_self())[0] == "Decoder self-attention, layer 5, maximum of heads"
    assert title_of(head="entropy-weighted").endswith("entropy-weighted mean of heads")


@pytest.mark.parametrize(
    ("layers", "site", "words"),
    [
        ((0,), "decoder.0.cross", "layer 0"),
        ((0,), "decoder.all.cross", "layer 0"),
        ((3, 5), "decoder.3+5.cross", "layers 3 and 5"),
        ((0, 3, 5), "decoder.0+3+5.cross", "layers 0, 3 and 5"),
        (tuple(range(6)), "decoder.all.cross", "all 6 layers"),
    ],
)
def test_layers_are_named(layers: tuple[int, ...], site: str, words: str) -> None:
    assert title_of(layers=layers, site=site) == f"Decoder cross-attention, {words}, mean of heads"


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("rollout", "Attention rollout through encoder and decoder, all layers"),
        ("relevance", "Relevance of cells for each query's class score, all layers"),
    ],
)
def test_method_through_all_layers_without_a_choice_of_heads(method: str, words: str) -> None:
    layers = tuple(range(6))
    assert title_of(method=method, site="decoder.all.cross", layers=layers, head="", quantity=method) == words


@pytest.mark.parametrize(
    ("method", "head", "words"),
    [
        ("attn-gradcam", "", "Decoder cross-attention weighted by its effect on the class score, layer 5"),
        ("value-norm", "max", "Decoder cross-attention weighted by the length of what is written, layer 5, maximum of"),
        ("decompose", "3", "Logits of decoder cross-attention by content and position, layer 5, head 3"),
        ("somebodys", "mean", "Decoder cross-attention, somebodys, layer 5, mean of heads"),
    ],
)
def test_method_of_one_layer(method: str, head: str, words: str) -> None:
    assert title_of(method=method, head=head).startswith(words)


def test_backbone_has_neither_layers_nor_heads() -> None:
    explanation = dataclasses.replace(cross(method="gradcam"), site="backbone", layers=(), head="")
    title, details = heading(explanation)
    assert title == "Backbone features weighted by their effect on the class score"
    assert "backbone · method gradcam" in details


def test_encoder_in_the_middle_of_a_title_is_small() -> None:
    explanation = dataclasses.replace(encoder(), method="decompose")
    assert heading(explanation)[0].startswith("Logits of encoder self-attention by content")


def test_terms_and_percent_are_explained() -> None:
    assert "first word: the query's side" in heading(terms())[2]


def test_sampled_attention_is_said_with_its_points_and_levels() -> None:
    title, details = heading(sampled())
    assert title == "Sampled decoder cross-attention, layer 5, mean of heads"
    assert "decoder.5.cross · 32 points per query on 4 levels · checkpoint" in details
    assert heading(sampled_encoder())[0].startswith("Sampled encoder self-attention, layer 5")
    assert "8 points per query on level 0 (stride 16)" in heading(sampled(strides=(16,)))[1]


def test_a_chosen_level_is_said() -> None:
    title, details = heading(dataclasses.replace(sampled(), level=2))
    assert title.endswith("mean of heads, level 2")
    assert "8 points per query on level 2 (stride 32)" in details


def test_a_chosen_term_is_said_and_explained() -> None:
    title, _, how = heading(dataclasses.replace(cross(), term="content"))
    assert title == "Decoder cross-attention, layer 5, mean of heads, content term alone"
    assert how == "softmax of the logits' content term, without the others"
