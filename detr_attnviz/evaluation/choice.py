"""Which methods are compared, in a short notation: ``METHOD[:HEAD][@LAYERS]``. Needs no model.

``raw``, ``raw:max``, ``raw:3@4`` (head 3 of layer 4), ``raw@all`` and ``value-norm@3+5`` (the mean of layers).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.catalogue import ALL, LAST, MEAN, METHODS, Layers, checked_facts

SEVERAL_MAPS = frozenset({"decompose"})
"""Methods that give several maps a query: they rank no cells."""
NOTATION = "METHOD[:HEAD][@LAYERS], such as raw, raw:max, raw:3@4, raw@all or raw@3+5"

_FORM = re.compile(r"(?P<method>[^:@]+)(?::(?P<head>[^:@]+))?(?:@(?P<layers>all|-?\d{1,9}(?:\+-?\d{1,9})*))?")


@dataclass(frozen=True, slots=True)
class MethodChoice:
    """A method, with its layers and head where it leaves a choice.

    Raises: ChoiceError for a method that is not there, gives several maps a query or leaves no such choice.
    """

    method: str
    layer: Layers = LAST
    head: str = MEAN

    def __post_init__(self) -> None:
        if self.method not in comparable():
            raise ChoiceError(_unknown(self.method))
        try:
            checked_facts(self.method, "cross", self.layer, self.head, "from")
        except ChoiceError as error:
            raise ChoiceError(f"{self.name}: {error}") from None

    @classmethod
    def parse(cls, text: str) -> "MethodChoice":
        """The notation as a value.

        Raises: ChoiceError.
        """
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise ChoiceError(f"{text.strip()!r} is no method: give {NOTATION}")
        return cls(found["method"], _layers(found["layers"]), found["head"] or MEAN)

    @property
    def name(self) -> str:
        """The notation, without what the method does anyway."""
        layers = (self.layer,) if isinstance(self.layer, (int, str)) else tuple(self.layer)
        at = "" if layers == (LAST,) else f"@{'+'.join(map(str, layers))}"
        return self.method + (f":{self.head}" if self.head != MEAN else "") + at


def comparable() -> tuple[str, ...]:
    """Names of the methods that give one map of cells for an object query."""
    return tuple(name for name, facts in METHODS.items() if "cross" in facts.kinds and name not in SEVERAL_MAPS)


def parse_methods(text: str) -> tuple[MethodChoice, ...]:
    """``"raw,raw:max"`` as choices, in that order.

    Raises: ChoiceError for one that does not exist or stands there twice.
    """
    return each_once([MethodChoice.parse(part) for part in text.split(",") if part.strip()])


def each_once(choices: Sequence[MethodChoice]) -> tuple[MethodChoice, ...]:
    """The same choices.

    Raises: ChoiceError when there is none, or one stands there twice.
    """
    names = [choice.name for choice in choices]
    if not names:
        raise ChoiceError(f"no method to evaluate: give some of {', '.join(comparable())}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ChoiceError(f"method {twice} is given twice")
    return tuple(choices)


def _layers(text: str | None) -> Layers:
    if text is None or text == ALL:
        return ALL if text else LAST
    numbers = tuple(int(number) for number in text.split("+"))
    return numbers if len(numbers) > 1 else numbers[0]


def _unknown(name: str) -> str:
    known = f"methods to evaluate are {', '.join(comparable())}"
    if name in SEVERAL_MAPS:
        return f"{name} gives several maps a query, which rank no cells: {known}"
    near = get_close_matches(name, comparable(), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else known
    return f"no method {name!r}: {hint}"
