"""Renames a checkpoint's tensors to the official keys, whatever dialect it speaks, and accounts for every key.

A key gets its official name, is known but unused (``extra``), is known to mean nothing (``ignored``), or is listed as
``unknown``: nothing is dropped silently. The tables are in ``dialects.py``.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from detr_attnviz.checkpoints.dialects import DIALECTS, EXTRA, IGNORED, PLACEHOLDERS, UNUSED_CLASSIFIER
from detr_attnviz.checkpoints.prefixes import strip_prefixes
from detr_attnviz.checkpoints.relatives import refuse_relative
from detr_attnviz.checkpoints.substance import refuse_hollow
from detr_attnviz.errors import CheckpointError


@dataclass(frozen=True)
class Renamed:
    """A state dict under the official keys, and what became of every other key.

    ``dialect`` is ``official``, ``panoptic``, ``detectron2``, ``notebook`` or ``hugging-face``; ``prefixes`` are those
    that wrappers had put before the keys. ``extra`` holds a panoptic checkpoint's mask head. ``unknown`` and
    ``ignored`` list keys as the file spells them, sorted.
    """

    tensors: dict[str, Tensor]
    dialect: str
    unknown: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    extra: dict[str, Tensor] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()


def canonical(tensors: Mapping[str, Tensor]) -> Renamed:
    """The same tensors under the official keys, bit for bit; q, k and v kept apart are joined into ``in_proj``.

    Raises:
        CheckpointError: another model (named), nothing of a DETR at all, one tensor given twice, or hollow ones.
    """
    refuse_relative(tensors)
    refuse_hollow(tensors)
    bare = {key: strip_prefixes(key) for key in tensors}
    ignored = {key for key, name in bare.items() if _is_ignored(name)}
    extra = {key for key, name in bare.items() if re.fullmatch(EXTRA, name)}
    dialect, placed = _best_dialect({key: name for key, name in bare.items() if key not in ignored | extra})
    _check_placed(placed, tensors)
    renamed, unjoined = _join_attention({name: tensors[key] for key, name in placed.items()})
    known = ignored | extra | {key for key, name in placed.items() if name not in unjoined}
    return Renamed(
        tensors=renamed,
        dialect="panoptic" if extra and dialect == "official" else dialect,
        unknown=tuple(sorted(tensors.keys() - known)),
        ignored=tuple(sorted(ignored)),
        extra={bare[key]: tensors[key] for key in sorted(extra)},
        prefixes=tuple(sorted({key.removesuffix(name) for key, name in bare.items()} - {""})),
    )


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    official: str
    shifts: Mapping[str, int]

    def rename(self, key: str) -> str | None:
        match = self.pattern.fullmatch(key)
        if match is None:
            return None
        groups = match.groupdict()
        shifted = {group: str(int(groups[group]) + shift) for group, shift in self.shifts.items()}
        return self.official.format(**(groups | shifted))


@cache
def _rules(dialect: str) -> tuple[_Rule, ...]:
    return tuple(_compile(found, official) for found, official in DIALECTS[dialect])


def _compile(found: str, official: str) -> _Rule:
    pattern, shifts = "", {}
    for index, part in enumerate(re.split(r"\{(.+?)\}", found)):
        if index % 2 == 0:
            pattern += re.escape(part)
            continue
        group, sign, step = re.fullmatch(r"(\w+?)([+-])?(\d)?", part).groups()  # type: ignore[union-attr]
        if sign:
            shifts[group] = -int(step) if sign == "+" else int(step)
        pattern += f"(?P<{group}>{PLACEHOLDERS[part]})"
    return _Rule(re.compile(pattern), official, shifts)


def _is_ignored(name: str) -> bool:
    return name.rpartition(".")[2] in IGNORED or re.fullmatch(UNUSED_CLASSIFIER, name) is not None


def _best_dialect(bare: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The dialect that places most keys, and ``key in the file → official key`` under it."""
    best: tuple[str, dict[str, str]] = ("official", {})
    for dialect in DIALECTS:
        placed = {key: official for key, name in bare.items() if (official := _rename(name, _rules(dialect)))}
        if len(placed) > len(best[1]):
            best = dialect, placed
        if len(placed) == len(bare):
            break
    return best


def _rename(name: str, rules: Iterable[_Rule]) -> str | None:
    return next((official for rule in rules if (official := rule.rename(name))), None)


def _check_placed(placed: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    keys_of = defaultdict(list)
    for key, official in placed.items():
        keys_of[official].append(key)
    twice = [" and ".join(sorted(keys)) for _, keys in sorted(keys_of.items()) if len(keys) > 1]
    if twice:
        raise CheckpointError(f"{len(twice)} tensors are there twice under different prefixes: {'; '.join(twice[:5])}")
    if not any(official.startswith("transformer.") for official in placed.values()):
        some = ", ".join(sorted(tensors)[:3])
        raise CheckpointError(
            f"none of its {len(tensors)} tensors belongs to a DETR's transformer (found {some or 'nothing'}, …); "
            "expected keys such as transformer.encoder.layers.0.self_attn.in_proj_weight"
        )


def _join_attention(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], set[str]]:
    """Replace each ``X.q.weight``, ``X.k.weight``, ``X.v.weight`` by ``X.in_proj_weight``; also return the rest."""
    joined: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        if match := re.fullmatch(r"(.+)\.([qkv])\.(weight|bias)", name):
            module, letter, kind = match.groups()
            parts[f"{module}.in_proj_{kind}"][letter] = tensor
        else:
            joined[name] = tensor
    unjoined = set()
    for name, found in parts.items():
        if found.keys() == set("qkv") and len({part.shape for part in found.values()}) == 1:
            joined[name] = torch.cat([found[letter] for letter in "qkv"])
        else:
            module, _, kind = name.rpartition(".in_proj_")
            unjoined |= {f"{module}.{letter}.{kind}" for letter in found}
    return joined, unjoined
