"""Stops the making of a model that its weights could never fill: numbers in a configuration are anybody's."""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as hooks

from detr_attnviz.checkpoints.saved import quoted
from detr_attnviz.errors import CheckpointError

_COUNTS = re.compile(r"num_\w*|\w*(layers|depths|blocks|stages|repeats|levels|points|queries|heads|labels)")
_MOST = 100_000
"""Of anything that is counted; transformers makes a list of as many names as there are labels."""

_MORE_MODULES, _MODULES_PER_TENSOR = 1000, 8
_MORE_ELEMENTS, _ELEMENTS_PER_ELEMENT = 1 << 26, 4


def check_counts(value: Any, source: str) -> None:
    """Of a configuration, at any depth.

    Raises: CheckpointError for a count that no detector has.
    """
    if isinstance(value, list):
        for item in value:
            check_counts(item, source)
    if not isinstance(value, Mapping):
        return
    for name, item in value.items():
        numbers = item if isinstance(item, list) else [item]
        if _COUNTS.fullmatch(str(name)) and any(isinstance(each, (int, float)) and each > _MOST for each in numbers):
            raise CheckpointError(
                f"{source}: {quoted(str(name), item)} in its config.json; expected {_MOST:,} at most; correct it there"
            )
        check_counts(item, source)


@contextmanager
def filled_by(tensors: Mapping[str, Tensor], source: str) -> Iterator[None]:
    """While a model is made: no more parts and weights than several times what ``tensors`` could fill.

    Raises: CheckpointError for a configuration of far more.
    """
    most_modules = _MORE_MODULES + _MODULES_PER_TENSOR * len(tensors)
    most_elements = _MORE_ELEMENTS + _ELEMENTS_PER_ELEMENT * sum(tensor.numel() for tensor in tensors.values())
    thread, modules, elements = threading.get_ident(), 0, 0

    def add(parts: int, weights: int) -> None:
        nonlocal modules, elements
        if threading.get_ident() != thread:  # another model, which is no business of this one
            return
        modules, elements = modules + parts, elements + weights
        if modules > most_modules or elements > most_elements:
            raise CheckpointError(
                f"{source}: its config.json describes a model of which its weights fill only a small part "
                f"({len(tensors)} tensors); correct its sizes there, or fetch it again"
            )

    def count_module(owner: nn.Module, name: str, part: nn.Module | None) -> None:
        add(1, 0)

    def count_weights(owner: nn.Module, name: str, weights: Tensor | None) -> None:
        add(0, weights.numel() if weights is not None and weights.is_meta else 0)

    with ExitStack() as stack:
        stack.enter_context(hooks.register_module_module_registration_hook(count_module))
        stack.enter_context(hooks.register_module_parameter_registration_hook(count_weights))
        stack.enter_context(hooks.register_module_buffer_registration_hook(count_weights))
        yield
