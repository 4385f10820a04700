"""Option values that are more than a word: layers, methods and places."""

import typer

from detr_attnviz.methods.catalogue import ALL, Layers


def parse_layer(text: str) -> Layers:
    """``"5"`` as a number, ``"3,5"`` as several, ``"all"`` as itself."""
    if text == ALL:
        return ALL
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--layer is {text!r}: give a layer's number, several as 3,5, or all") from None
    return numbers if len(numbers) > 1 else numbers[0]


def parse_point(text: str) -> tuple[float, float]:
    """``"320,240"`` as (x, y) in original pixels."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no point: give X,Y in original pixels, such as 320,240") from None
    return x, y


def parse_names(text: str) -> tuple[str, ...]:
    """``"relevance, rollout"`` as names, each once, in that order."""
    return tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))
