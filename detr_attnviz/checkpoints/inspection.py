"""Everything `attnviz inspect-weights` shows: which attention modules a checkpoint holds, and their numbers."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from detr_attnviz import __version__
from detr_attnviz.checkpoints import zoo
from detr_attnviz.checkpoints.attention import AttentionKind, AttentionWeights, Skipped, survey
from detr_attnviz.checkpoints.layouts import LAYOUTS
from detr_attnviz.checkpoints.naming import canonical
from detr_attnviz.checkpoints.packed import check_heads
from detr_attnviz.checkpoints.read import Checkpoint, read, sha256_of
from detr_attnviz.checkpoints.saved import OFFICIAL_HEADS, Saved, heads_assumed, how_told, saved_heads
from detr_attnviz.checkpoints.source import locate
from detr_attnviz.checkpoints.stats import ModuleStats, module_stats
from detr_attnviz.checkpoints.substance import refuse_hollow
from detr_attnviz.errors import CheckpointError, ChoiceError, few

_BYTES_AT_ONCE = 1 << 29
_BYTES_PER_WEIGHT = 64  # q, k, v, out and a matrix of products of each, in float64


@dataclass(frozen=True)
class Panel:
    """One module's matrices as float32 arrays, ready to be drawn; ``head_norms`` is ``[heads 4]`` of q, k, v, out."""

    group: str
    title: str
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    head_norms: np.ndarray | None


@dataclass(frozen=True)
class Inspection:
    """The chosen attention modules of a checkpoint and a row of numbers for each, in the same order."""

    path: Path
    flavour: str
    modules: tuple[AttentionWeights, ...]
    rows: tuple[ModuleStats, ...]
    notes: tuple[str, ...]

    @cached_property
    def provenance(self) -> dict[str, str]:
        """What a figure of these weights and their numbers carry.

        Raises: CheckpointError when the checkpoint can no longer be read.
        """
        return {
            "checkpoint": self.path.name,
            "checkpoint_sha256": sha256_of(self.path),
            "modules": ", ".join(weights.name for weights in self.modules),
            "software": f"detr_attnviz {__version__}",
        }

    def panels(self) -> tuple[Panel, ...]:
        """What a figure of these weights shows, one panel per module."""
        return tuple(_panel(weights, row) for weights, row in zip(self.modules, self.rows, strict=True))


def inspect(
    path: str | Path, *, module: str | None = None, layer: int | None = None, nheads: int | None = None
) -> Inspection:
    """Read a checkpoint of any model and describe the attention weights in it that can be split with certainty.

    ``path`` may be a known name; nothing is fetched. What is left out is named in ``notes``.

    Args:
        module: a glob over module names, such as ``*decoder*multihead_attn``; also a name's end without wildcards.
        layer: counted from 0, -1 is the last of each stack.
        nheads: the number of heads, where the checkpoint does not tell it.

    Raises:
        CheckpointError: it cannot be found or read, or holds no attention weights that can be split.
        ChoiceError: no such module or layer, or heads that divide no module's rows.
    """
    place = locate(path, may_fetch=False)[1]
    zoo.refuse_damaged(place, partial(sha256_of, place))
    checkpoint = read(place)
    refuse_hollow(checkpoint.tensors, f"{checkpoint.path}: ")
    found, skipped = survey(checkpoint.tensors)
    if not found:
        raise CheckpointError(_none_found(checkpoint, skipped))
    chosen = of_layer(matching(found, module), layer)
    heads, notes = _heads_of_kinds(checkpoint, chosen, nheads)
    with _module_by_module(chosen) as each:
        rows = tuple(each(module_stats, chosen, [heads.get(weights.kind) for weights in chosen]))
    undivided = [row.module for row in rows if row.heads is None and heads.get(row.kind)]
    if undivided:
        notes = (*notes, f"heads do not divide the rows of {', '.join(undivided[:3])}: no per-head numbers there")
    return Inspection(
        checkpoint.path, checkpoint.flavour, chosen, rows, (*checkpoint.notes, *notes, *_left_out(chosen, skipped))
    )


def matching(found: Sequence[AttentionWeights], pattern: str | None) -> tuple[AttentionWeights, ...]:
    """The modules whose name matches a glob, or ends in it if it has no wildcard.

    Raises:
        ChoiceError: none does; names some that there are.
    """
    if pattern is None:
        return tuple(found)
    is_glob = re.search(r"[*?\[]", pattern) is not None
    chosen = tuple(
        weights
        for weights in found
        if (fnmatch.fnmatchcase(weights.name, pattern) if is_glob else f".{weights.name}".endswith(f".{pattern}"))
    )
    if not chosen:
        names = ", ".join(weights.name for weights in found[:4])
        raise ChoiceError(f"no attention module matches {pattern!r}; there are {len(found)}, such as {names}")
    return chosen


def of_layer(found: Sequence[AttentionWeights], layer: int | None) -> tuple[AttentionWeights, ...]:
    """The modules of one layer; -1 is the last of each stack, so encoder and decoder may differ in length.

    Raises:
        ChoiceError: no stack has that layer; names the range.
    """
    if layer is None:
        return tuple(found)
    lengths: dict[str, int] = {}
    for weights in found:
        if weights.layer is not None:
            lengths[_stack(weights)] = max(lengths.get(_stack(weights), 0), weights.layer + 1)
    chosen = tuple(
        weights
        for weights in found
        if weights.layer is not None and weights.layer == (layer + lengths[_stack(weights)] if layer < 0 else layer)
    )
    if not chosen:
        longest = max(lengths.values(), default=0)
        known = f"layers are 0–{longest - 1}, or -1 for the last" if longest else "no module's name has a layer number"
        raise ChoiceError(f"there is no layer {layer}; {known}")
    return chosen


@contextmanager
def _module_by_module(chosen: Sequence[AttentionWeights]) -> Iterator[Callable[..., Iterable[ModuleStats]]]:
    """A ``map`` that gives every module a thread to itself, as many at once as torch would use inside one.

    Hundreds of small decompositions: on a busy machine, threads that wait for each other within each of them take
    ten times as long. Of very wide modules there are fewer at once, as each is held in float64 several times over.
    """
    threads = torch.get_num_threads()
    width = max((side for weights in chosen for side in weights.q_weight.shape), default=1)
    together = max(1, min(threads, _BYTES_AT_ONCE // (_BYTES_PER_WEIGHT * width**2)))
    torch.set_num_threads(1 if together > 1 else threads)
    try:
        with ThreadPoolExecutor(together) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)


def _stack(weights: AttentionWeights) -> str:
    """A module's name with its layer number left open."""
    head, _, tail = weights.name.rpartition(f".{weights.layer}.")
    return f"{head}.N.{tail}"


def _none_found(checkpoint: Checkpoint, skipped: Sequence[Skipped]) -> str:
    if skipped:
        return f"{checkpoint.path}: no attention weights that can be split; {'; '.join(_left_out((), skipped))}"
    endings = ", ".join(layout.weights[0] for layout in LAYOUTS)
    some = ", ".join(sorted(checkpoint.tensors)[:3])
    return (
        f"{checkpoint.path}: no attention weights among its {len(checkpoint.tensors)} tensors ({some}, …); "
        f"looked for names that end in {endings}"
    )


def _left_out(chosen: Iterable[AttentionWeights], skipped: Iterable[Skipped]) -> tuple[str, ...]:
    """A sentence for every kind of projection that is not shown."""
    shown = {weights.layout for weights in chosen}
    positions = [
        f"content parts only where the layout is {layout.name}; not shown are {', '.join(layout.left_out)}"
        for layout in LAYOUTS
        if layout.left_out and layout.name in shown
    ]
    names: dict[str, list[str]] = {}
    for module in skipped:
        names.setdefault(module.reason, []).append(module.name or "(top level)")
    return (*positions, *(f"left out, as {reason}: {few(modules)}" for reason, modules in names.items()))


def _heads_of_kinds(
    checkpoint: Checkpoint, chosen: Iterable[AttentionWeights], nheads: int | None
) -> tuple[dict[AttentionKind, int | None], tuple[str, ...]]:
    """The number of heads for each kind of module, and what to say about it."""
    widths = {weights.kind: weights.q_weight.shape[0] for weights in chosen}
    if nheads is not None:
        if all(weights.q_weight.shape[0] % nheads for weights in chosen) or nheads < 1:
            check_heads(next(iter(widths.values())), nheads)
        return dict.fromkeys(widths, nheads), ()
    saved = {kind: _saved_heads_of(checkpoint, kind) for kind in widths}
    heads = {kind: found.value or _official_heads(checkpoint.path) for kind, found in saved.items()}
    strange = tuple(dict.fromkeys(entry for found in saved.values() for entry in found.strange))
    if None not in heads.values():
        return heads, (f"the checkpoint also says {', '.join(strange)}: --nheads N chooses",) if strange else ()
    if _is_detr(checkpoint):
        return {kind: count or OFFICIAL_HEADS for kind, count in heads.items()}, (heads_assumed(strange),)
    why = how_told(strange, "number of heads") if strange else "(no shape tells it)"
    return heads, (f"the number of heads is unknown {why}: numbers per head are left out; --nheads N adds them",)


def _saved_heads_of(checkpoint: Checkpoint, kind: AttentionKind) -> Saved[int]:
    return saved_heads(checkpoint.args, "decoder" if kind.startswith("decoder") else "encoder")


def _official_heads(path: Path) -> int | None:
    official = zoo.of_file(path.name)
    return official.heads if official and zoo.is_official(path, partial(sha256_of, path)) else None


def _is_detr(checkpoint: Checkpoint) -> bool:
    try:
        canonical(checkpoint.tensors)
    except CheckpointError:
        return False
    return True


def _panel(weights: AttentionWeights, row: ModuleStats) -> Panel:
    group = weights.kind.replace("-", " ").replace("self", "self-attention").replace("cross", "cross-attention")
    short = ".".join(weights.name.split(".")[-2:])
    title = short if weights.layer is None else f"layer {weights.layer}"
    matrices = (weights.q_weight, weights.k_weight, weights.v_weight)
    q, k, v = (matrix.detach().float().numpy() for matrix in matrices)
    norms = np.array([(head.q_norm, head.k_norm, head.v_norm, head.out_norm) for head in row.per_head])
    return Panel(group, title, q, k, v, norms if row.per_head else None)
