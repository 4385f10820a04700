"""Groups of options: a parameter of a command whose type is a dataclass stands for that dataclass's fields.

Typer reads a command's options from its signature and knows no groups; without this, every command would repeat the
shared options one by one, and gather them again.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from inspect import Parameter
from typing import Any

import typer

from detr_attnviz.cli.rules import refuse_ignored

_CONTEXT = "_context"


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` with its groups spread into single options; options that would be ignored are usage errors."""
    declared = inspect.signature(command).parameters
    groups: dict[str, Any] = {name: one.annotation for name, one in declared.items() if is_dataclass(one.annotation)}

    @functools.wraps(command)
    def spread(**values: Any) -> None:
        refuse_ignored(values.pop(_CONTEXT))
        made = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **made)

    flat = [
        Parameter(_CONTEXT, Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *(single for one in declared.values() for single in _spread(one)),
    ]
    del spread.__wrapped__
    spread.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    spread.__annotations__ = {one.name: one.annotation for one in flat}
    return spread


def _spread(parameter: Parameter) -> Iterator[Parameter]:
    if not is_dataclass(parameter.annotation):
        yield parameter.replace(kind=Parameter.KEYWORD_ONLY)
        return
    for field in fields(parameter.annotation):
        yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
