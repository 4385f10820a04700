"""Which options rule each other out: one that was given by hand and would be ignored is a usage error."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import typer

from detr_attnviz.methods.catalogue import METHODS, RAW, MethodFacts

Values = Mapping[str, Any]


class Rule(NamedTuple):
    """Where ``applies`` holds, ``options`` have no effect, or whatever ``fault`` says; ``because`` says why."""

    applies: Callable[[Values], bool]
    options: tuple[str, ...]
    because: str
    fault: str = "would have no effect"


def _styles(values: Values) -> set[str]:
    """What is drawn: overlays, where a command leaves no choice of style."""
    return set(exports_of(values.get("export") or values.get("style", "overlay"))) - {"arrays"}


def _has_points(values: Values) -> bool:
    return "points" in _styles(values)


def _facts(values: Values) -> MethodFacts:
    """What the method leaves to choose; one that does not exist leaves everything, until it is asked for."""
    return METHODS.get(values.get("method", RAW), METHODS[RAW])


_CHOOSING = ("label", "top_k", "threshold", "fallback")
RULES = (
    Rule(
        lambda values: _facts(values).layers == "none",
        ("layer",),
        "--method goes through all layers or none",
    ),
    Rule(lambda values: not _facts(values).has_heads, ("head",), "--method leaves no choice of heads"),
    Rule(lambda values: values.get("query") not in (None, [], ()), _CHOOSING, "--query names the queries outright"),
    Rule(
        lambda values: values.get("kind") == "encoder",
        ("query", *_CHOOSING),
        "--kind encoder is shown at --point, and not for objects",
    ),
    Rule(
        lambda values: values.get("kind", "encoder") != "encoder",
        ("point", "direction", "point_level"),
        "that belongs to --kind encoder",
    ),
    Rule(
        lambda values: "kind" not in values and not values.get("point") and not values.get("auto"),
        ("direction",),
        "that belongs to a place, given by --point",
    ),
    Rule(
        lambda values: "kind" not in values and bool(values.get("point")),
        ("query", *_CHOOSING),
        "--point names a place outright",
    ),
    Rule(lambda values: "ckpt" in values, ("smooth",), "weights have no cells that could be smoothed"),
    Rule(
        lambda values: not values.get("encoder", True),
        ("point_level",),
        "--no-encoder leaves the encoder out",
    ),
    Rule(lambda values: bool(values.get("export")), ("style",), "--export names the styles"),
    Rule(
        lambda values: not _styles(values),
        ("cmap", "alpha", "scale", "smooth", "per"),
        "--export arrays draws no pictures",
    ),
    Rule(lambda values: "overlay" not in _styles(values), ("alpha",), "only --style overlay lets the picture through"),
    Rule(lambda values: _styles(values) == {"contour"}, ("scale",), "--style contour has no range of colours"),
    Rule(
        lambda values: _facts(values).is_signed and "contour" in _styles(values),
        ("style", "export"),
        "the method's values below zero hold no shares; choose overlay, heatmap or pair",
        "cannot be contour",
    ),
    Rule(lambda values: _styles(values) == {"points"}, ("smooth",), "--style points draws samples, not cells"),
    Rule(
        lambda values: _has_points(values) and values.get("kind") == "decoder-self",
        ("style", "export"),
        "decoder self-attention lies over queries; choose overlay or heatmap",
        "cannot be points",
    ),
    Rule(
        lambda values: _has_points(values) and values.get("method", RAW) != RAW,
        ("style", "export"),
        "only --method raw keeps the samples; choose overlay, heatmap or pair",
        "cannot be points",
    ),
    Rule(
        lambda values: _has_points(values) and values.get("head") == "max",
        ("head",),
        "--style points shows samples, whose weights add up",
        "cannot be max",
    ),
    Rule(
        lambda values: _has_points(values) and values.get("direction") == "to",
        ("direction",),
        "--style points shows what a point reads, not who reads it",
        "cannot be to",
    ),
    Rule(
        lambda values: values.get("kind") == "decoder-self",
        ("smooth",),
        "--kind decoder-self has no cells that could be smoothed",
    ),
)


def refuse_ignored(context: typer.Context) -> None:
    """Checks what was given by hand against the rules.

    Raises: typer.BadParameter that names the options of the first rule that is broken.
    """
    for rule in RULES:
        given = [name for name in rule.options if _is_given(context, name)]
        if given and rule.applies(context.params):
            names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise typer.BadParameter(f"{names} {rule.fault}: {rule.because}")


def exports_of(text: str) -> tuple[str, ...]:
    """``"overlay, arrays"`` as its names."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
