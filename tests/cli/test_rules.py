"""Options that would be ignored are usage errors, and only when they were given by hand."""

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Attnviz

ENCODER = ("--kind", "encoder", "--point", "1,1")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--query", 1, "--threshold", 0.7), "--threshold would have no effect: --query names the queries outright"),
        (("--query", 1, "--fallback", 3), "--fallback would have no effect"),
        (("--query", 1, "--label", "cat"), "--label would have no effect"),
        (("--query", 1, "--top-k", 1, "--threshold", 0), "--top-k and --threshold would have no effect"),
        ((*ENCODER, "--threshold", 0.5), "--threshold would have no effect: --kind encoder is shown at --point"),
        ((*ENCODER, "--fallback", 0), "--fallback would have no effect"),
        ((*ENCODER, "--query", 0), "--query would have no effect"),
        (("--direction", "from"), "--direction would have no effect: that belongs to --kind encoder"),
        (("--kind", "decoder-self", "--direction", "to"), "--direction would have no effect"),
        (("--point", "1,1"), "--point would have no effect"),
        (("--alpha", 0.5, "--style", "heatmap"), "--alpha would have no effect"),
        (("--alpha", 0.5, "--style", "pair"), "--alpha would have no effect"),
        (("--alpha", 0.5, "--style", "contour"), "--alpha would have no effect"),
        (("--scale", "shared", "--style", "contour"), "--scale would have no effect"),
        (("--smooth", "nearest", "--kind", "decoder-self"), "--smooth would have no effect"),
        (("--alpha", 0.5, "--style", "points"), "--alpha would have no effect"),
        (("--smooth", "nearest", "--style", "points"), "--smooth would have no effect: --style points draws samples"),
        (("--kind", "decoder-self", "--style", "points"), "--style cannot be points: decoder self-attention lies over"),
        (("--method", "gradcam", "--style", "points"), "--style cannot be points: only --method raw keeps the samples"),
        (("--head", "max", "--style", "points"), "--head cannot be max: --style points shows samples"),
        ((*ENCODER, "--direction", "to", "--style", "points"), "--direction cannot be to: --style points shows what"),
        (("--method", "rollout", "--layer", 3), "--layer would have no effect: --method goes through all layers or"),
        (("--method", "gradcam", "--layer", "all"), "--layer would have no effect"),
        (("--method", "relevance", "--head", "max"), "--head would have no effect: --method leaves no choice of heads"),
        (("--method", "attn-gradcam", "--head", 0), "--head would have no effect"),
        (("--method", "decompose", "--style", "contour"), "--style cannot be contour: the method's values below zero"),
    ],
)
@pytest.mark.parametrize("command", ["render", "batch"])
def test_an_option_without_effect(attnviz: Attnviz, command: str, args: tuple[object, ...], words: str) -> None:
    done = attnviz(command, "photos", "-o", "out", *args)
    assert done.code == 2
    assert words in re.sub(r"[\s│]+", " ", done.err)
    assert (done.out, Path("out").exists()) == ("", False)


@pytest.mark.parametrize(
    "args",
    [
        ("--style", "overlay", "--export", "overlay"),
        ("--alpha", 0.5, "--export", "heatmap,pair"),
        ("--per", "image", "--export", "arrays"),
        ("--cmap", "viridis", "--export", "arrays"),
    ],
)
def test_an_option_without_effect_on_exports(attnviz: Attnviz, args: tuple[object, ...]) -> None:
    done = attnviz("batch", "photos", "-o", "out", *args)
    assert done.code == 2
    assert f"{args[0]} would have no effect" in done.err


@pytest.mark.parametrize(
    "args",
    [
        ("--threshold", 0.1, "--fallback", 2, "--top-k", 1),
        ("--alpha", 0.5),
        ("--kind", "decoder-self", "--alpha", 0.5, "--threshold", 0),
        ("--smooth", "nearest", "--scale", "shared", "--style", "heatmap"),
        ("--style", "contour", "--smooth", "bilinear", "--cmap", "viridis"),
        (*ENCODER, "--direction", "to"),
        ("--method", "attn-gradcam", "--layer", 0),
        ("--method", "value-norm", "--layer", "0,1", "--head", "entropy-weighted", "--kind", "decoder-self"),
        (*ENCODER, "--method", "decompose", "--head", 2),
    ],
)
def test_what_has_an_effect_is_taken(
    attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, args: tuple[object, ...]
) -> None:
    done = attnviz("render", picture, "-c", tiny_checkpoint, "--shortest-px", 64, "--longest-px", 96, *args)
    assert done.code == 0, done.err


def test_an_alpha_for_one_of_several_exports(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    args = ("--shortest-px", 64, "--longest-px", 96, "--export", "overlay,heatmap,arrays", "--alpha", 0.5)
    assert attnviz("batch", picture, "-c", tiny_checkpoint, "-o", "out", *args).code == 0
