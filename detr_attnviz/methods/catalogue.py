"""Which methods there are and what each can be asked: facts that need no model, so that options are checked early."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from operator import index
from types import MappingProxyType
from typing import Final, Literal, get_args

from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import ATTENTION, Direction, Kind

Head = str | int
Layers = int | Sequence[int] | Literal["all"]
RAW = "raw"
LAST = -1
ALL: Final = "all"
MEAN = "mean"

LOGIT_TERMS = ("content", "spatial")
"""Terms that some detectors' logits are made of, as Conditional DETR and DAB-DETR."""

_ALL_KINDS: tuple[Kind, ...] = ("cross", "encoder", "decoder-self")
_BOTH_DIRECTIONS: tuple[Direction, ...] = ("from", "to")
_ALL_JOINS = (MEAN, "max", "entropy-weighted")
_LONGEST_NUMBER = 6  # digits; int() refuses thousands of them


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """One method.

    ``kinds`` are what it explains, and ``directions`` which way at encoder points. ``layers`` is what a caller may
    choose: "several", "one", or "none" when it goes through all of them or through none. ``joins`` are the ways in
    which heads can be joined; with none, no head can be chosen either. ``needs_gradients`` tells that it runs the model
    forward and back again. ``quantity`` is what a value is an amount of; ``is_signed`` that it may be below zero.
    ``reads_parts`` tells that one term of the logits, or one level of sampled attention, can be asked for.
    """

    summary: str
    quantity: str
    kinds: tuple[Kind, ...] = ("cross",)
    layers: Literal["several", "one", "none"] = "none"
    joins: tuple[str, ...] = ()
    directions: tuple[Direction, ...] = ("from",)
    needs_gradients: bool = False
    is_signed: bool = False
    reads_parts: bool = False

    @property
    def is_attention(self) -> bool:
        """Whether values are shares of attention."""
        return self.quantity == ATTENTION

    @property
    def has_heads(self) -> bool:
        """Whether a head, or how heads join, can be chosen."""
        return bool(self.joins)


METHODS: Mapping[str, MethodFacts] = MappingProxyType(
    {
        RAW: MethodFacts(
            "attention as the model computed it",
            ATTENTION,
            _ALL_KINDS,
            "several",
            _ALL_JOINS,
            _BOTH_DIRECTIONS,
            reads_parts=True,
        ),
        "rollout": MethodFacts("attention multiplied through encoder and decoder", "rollout"),
        "attn-gradcam": MethodFacts(
            "attention weighted by its effect on the class score",
            "attention × gradient",
            layers="one",
            needs_gradients=True,
        ),
        "relevance": MethodFacts(
            "attention and its gradients carried through all layers", "relevance", needs_gradients=True
        ),
        "value-norm": MethodFacts(
            "attention weighted by the length of what is written",
            "length of what is written",
            _ALL_KINDS,
            "several",
            _ALL_JOINS,
            _BOTH_DIRECTIONS,
        ),
        "decompose": MethodFacts(
            "the logits' four terms: content and position of query and cell",
            "logit",
            ("cross", "encoder"),
            "one",
            (MEAN,),
            is_signed=True,
        ),
        "gradcam": MethodFacts(
            "the backbone's last features weighted by their effect on the class score",
            "feature × gradient",
            needs_gradients=True,
        ),
    }
)


def checked_facts(
    method: str,
    kind: Kind,
    layer: Layers,
    head: Head,
    direction: Direction,
    term: str = "",
    level: int | None = None,
    point_level: int = 0,
) -> MethodFacts:
    """The facts of ``method``, once it is sure that it can be asked this.

    Raises: ChoiceError that lists every choice that does not exist, or that the method does not leave.
    """
    facts = METHODS.get(method)
    if facts is None:
        raise ChoiceError(f"no method {method!r}: methods are {', '.join(METHODS)}")
    faults = [
        *_fault_of_kind(method, facts, kind),
        *_fault_of_direction(method, facts, kind, direction),
        *_fault_of_layer(method, facts, layer),
        *_fault_of_head(method, facts, head),
        *_fault_of_part(method, facts, kind, term, level, point_level),
    ]
    if faults:
        raise ChoiceError("; ".join(faults))
    return facts


def check_beside_raw(methods: Sequence[str]) -> None:
    """Raises: ChoiceError for methods that a page, which has attention itself, cannot be given besides."""
    others = ", ".join(name for name in METHODS if name != RAW)
    if RAW in methods:
        raise ChoiceError(
            "method raw need not be asked for: the page has attention itself of every layer and head; methods to add "
            f"are {others}"
        )
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise ChoiceError(f"no method {unknown[0]!r}: methods to add to a page are {others}")


def layers_of(layer: Layers) -> tuple[int, ...] | None:
    """The layers meant, as they were given; None for all.

    Raises: ChoiceError for what is no layer.
    """
    if isinstance(layer, str) and layer == ALL:
        return None
    try:
        several = (index(layer),) if isinstance(layer, (int, Integral)) else tuple(map(index, layer))
    except TypeError:
        several = ()
    if not several:
        raise ChoiceError(f"layer is {layer!r}: it must be a layer's number, several numbers, or 'all'")
    return several


def head_number(head: Head, joins: Sequence[str] = _ALL_JOINS) -> int | None:
    """The head meant; None for one of the ways in which all are joined.

    Raises: ChoiceError for neither.
    """
    text = str(head)
    if text in joins:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER:
        return int(text)
    raise ChoiceError(f"head is {head!r}: it must be {', '.join(joins)} or a head's number")


def _fault_of_kind(method: str, facts: MethodFacts, kind: str) -> list[str]:
    if kind not in get_args(Kind):
        return [f"no kind {kind!r}: kinds are {', '.join(get_args(Kind))}"]
    if kind in facts.kinds:
        return []
    own, others = " and ".join(facts.kinds), [name for name, other in METHODS.items() if kind in other.kinds]
    return [f"method {method} explains kind {own}, not {kind}: for that choose {' or '.join(others)}"]


def _fault_of_direction(method: str, facts: MethodFacts, kind: str, direction: str) -> list[str]:
    if direction not in get_args(Direction):
        return [f"direction is {direction!r}: it must be 'from' or 'to'"]
    if direction != "from" and kind != "encoder":
        return [f"direction belongs to kind 'encoder'; kind is {kind!r}"]
    if direction in facts.directions or kind not in facts.kinds:
        return []
    return [f"method {method} shows what a point looks at, direction 'from': direction is {direction!r}"]


def _fault_of_layer(method: str, facts: MethodFacts, layer: Layers) -> list[str]:
    try:
        chosen = layers_of(layer)
    except ChoiceError as error:
        return [str(error)]
    if facts.layers == "none" and chosen != (LAST,):
        return [f"method {method} leaves no choice of layer (layer is {layer!r}): leave it out"]
    if facts.layers == "one" and (chosen is None or len(set(chosen)) > 1):
        found = ALL if chosen is None else ", ".join(map(str, chosen))
        return [f"method {method} explains one layer at a time: layer is {found}"]
    return []


def _fault_of_head(method: str, facts: MethodFacts, head: Head) -> list[str]:
    if not facts.joins:
        return [] if head == MEAN else [f"method {method} leaves no choice of heads (head is {head!r}): leave it out"]
    try:
        head_number(head, facts.joins)
    except ChoiceError as error:
        return [f"{error} with method {method}" if head in _ALL_JOINS else str(error)]
    return []


def _fault_of_part(
    method: str, facts: MethodFacts, kind: str, term: str, level: int | None, point_level: int
) -> list[str]:
    if term and term not in LOGIT_TERMS:
        return [f"no term {term!r}: terms are {' and '.join(LOGIT_TERMS)}"]
    if (level is not None and level < 0) or point_level < 0:
        return ["levels count from 0, the finest"]
    if point_level and kind != "encoder":
        return [f"point_level belongs to kind 'encoder'; kind is {kind!r}"]
    asked = [f"term is {term!r}"] if term else []
    asked += [] if level is None else [f"level is {level}"]
    if not asked or facts.reads_parts:
        return []
    return [f"method {method} takes attention as a whole ({', '.join(asked)}): only raw shows parts of it"]
