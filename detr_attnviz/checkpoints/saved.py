"""Reads what a script saved beside the tensors, in whatever type it wrote it; what makes no sense is quoted."""

import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

from detr_attnviz.errors import CheckpointError

Side = Literal["encoder", "decoder"]
Value = TypeVar("Value")

OFFICIAL_HEADS = 8
LARGEST = 1 << 31
"""No number of heads, pixels or queries is as large; Python writes out only numbers of some thousand digits."""
HEAD_ARGUMENTS = ("num_attention_heads", "num_heads", "n_head", "attention_heads")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Saved(NamedTuple, Generic[Value]):
    """What the arguments tell, ``None`` for nothing; ``strange`` quotes the entries that make no sense."""

    value: Value | None
    strange: tuple[str, ...] = ()


def saved_heads(args: Mapping[str, object], side: Side | None = None) -> Saved[int]:
    """The number of heads of one side, or without ``side`` of a whole detector, whose sides are alike.

    Raises:
        CheckpointError: a whole detector is asked for, and its sides differ.
    """
    sides: tuple[Side, ...] = ("encoder", "decoder") if side is None else (side,)
    own = tuple(f"{each}_attention_heads" for each in sides)
    counts = [count for name in own if (count := whole(args.get(name)))]
    if len(set(counts)) > 1:
        raise CheckpointError(
            f"config.json says {counts[0]} heads in the encoder, {counts[1]} in the decoder; "
            "expected one number for both; attnviz inspect-weights reads such a checkpoint"
        )
    names = ("nheads", *own, *HEAD_ARGUMENTS)
    told = (count for name in names if (count := whole(args.get(name))))
    return Saved(next(told, None), _strange(args, names, whole))


def saved_dilation(args: Mapping[str, object]) -> Saved[bool]:
    """What a training script or a Hugging Face configuration says; the latter may only say it as ``output_stride``."""
    strange = _strange(args, ("dilation",), truth)
    dilation = truth(args.get("dilation"))
    if dilation is not None or strange:
        return Saved(dilation, strange)
    for place in ("backbone_kwargs", "backbone_config"):
        options = args.get(place)
        if isinstance(options, Mapping) and (stride := whole(options.get("output_stride"))):
            return Saved(stride == 16)
    return Saved(False if "model_type" in args else None)


def saved_names(args: Mapping[str, object]) -> Sequence[object]:
    """The classes' names in the order of their labels, empty if there is no such list."""
    lists = (args.get(name) for name in ("classes", "class_names"))
    return next((listed for listed in lists if isinstance(listed, (list, tuple)) and listed), ())


def how_told(strange: Iterable[str], what: str) -> str:
    """Why something has to be assumed, in brackets: the checkpoint is silent, or says something that is no ``what``."""
    entries = ", ".join(strange)
    return f"(the checkpoint says {entries}, which is no {what})" if entries else "(the checkpoint does not say)"


def heads_assumed(strange: Iterable[str] = ()) -> str:
    """The sentence for a DETR whose number of heads is the official script's default."""
    return f"{OFFICIAL_HEADS} heads assumed {how_told(strange, 'number of heads')}: --nheads N changes it"


def whole(value: object) -> int | None:
    """A whole number above 0, below ``LARGEST``, also as an integral float or as digits; ``None`` for anything else."""
    if isinstance(value, str) and len(value) < 10 and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < LARGEST else None


def truth(value: object) -> bool | None:
    """Yes or no, also as 0 and 1 or in words; ``None`` for anything else."""
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    return bool(value) if isinstance(value, (bool, int, float)) and value in (0, 1) else None


def text_of(value: object) -> str:
    """A text as it is, anything else as Python writes it, in short."""
    return value if isinstance(value, str) else " ".join(_SHORT.repr(value).split())


def quoted(name: str, value: object) -> str:
    """An entry as a short text: ``nheads='four'``."""
    return f"{name}={' '.join(_SHORT.repr(value).split())}"


class _Short(reprlib.Repr):
    """``reprlib``, and numbers of more digits than Python writes out."""

    def repr_int(self, value: int, level: int) -> str:
        return super().repr_int(value, level) if abs(value) < LARGEST**2 else f"<a number of {value.bit_length()} bits>"


_SHORT = _Short()


def _strange(args: Mapping[str, object], names: Iterable[str], read: Callable[[object], object]) -> tuple[str, ...]:
    return tuple(quoted(name, args[name]) for name in names if args.get(name) is not None and read(args[name]) is None)
