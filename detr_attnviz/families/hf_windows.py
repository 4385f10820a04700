"""Attention of vision transformers that cut the picture into windows: read in picture order, all windows at once.

LW-DETR and RF-DETR put windows into the batch axis: most layers attend within a window, some over all of them. Tokens
lie window by window, RF-DETR's with a class token before each window's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import get_ident
from typing import Any, cast

import torch
from torch import Tensor, nn

from detr_attnviz.families.hf_calls import read_hidden
from detr_attnviz.sites import AttentionCall, Listen, Note, Reader

_CELLS = "attnviz_cells"


@dataclass(frozen=True)
class Windows:
    """How a family cuts its patches, ``side × side`` windows.

    ``class_tokens`` stand before the cells of each window. ``transposes`` says that rows are cut by what belongs to
    columns, as RF-DETR does: the same for square pictures.
    """

    side: int
    class_tokens: int = 0
    transposes: bool = False

    def cells(self, rows: int, cols: int) -> Tensor:
        """Which cell of the picture each token is: ``[windows tokens]``."""
        high, wide = (cols, rows) if self.transposes else (rows, cols)
        cut = torch.arange(rows * cols).view(self.side, high // self.side, self.side, wide // self.side)
        return cut.transpose(1, 2).reshape(self.side**2, -1)


def windowed_reader(windows: Windows, *, is_global: bool) -> Reader:
    """Reads what ``windowed_listen`` heard as one map, of all cells to all cells and class tokens."""
    return partial(_read, windows, is_global)


def patches_of(backbone: nn.Module) -> nn.Conv2d:
    """The convolution that makes a vision transformer's patches."""
    return next(part for part in backbone.get_submodule("embeddings").modules() if isinstance(part, nn.Conv2d))


def windowed_listen(patches: nn.Module) -> Listen:
    """Listens by a forward hook, and adds the rows and cols of patches that the convolution ``patches`` made."""
    return partial(_listen, patches)  # no closure: a copy of the model has to hear its own patches


def _listen(patches: nn.Module, module: nn.Module, note: Note) -> Callable[[], None]:
    sizes: dict[int, tuple[int, int]] = {}

    def see(patches: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        sizes[get_ident()] = (output.shape[-2], output.shape[-1])

    def note_with_size(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        size = sizes.get(get_ident())
        if size is not None:  # else this thread's forward began before anybody listened
            note(args, {**kwargs, _CELLS: size})

    handles = (
        module.register_forward_hook(note_with_size, with_kwargs=True),
        patches.register_forward_hook(see),
    )

    def stop() -> None:
        for handle in handles:
            handle.remove()

    return stop


def _read(
    windows: Windows, is_global: bool, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> AttentionCall:
    options = dict(kwargs)
    rows, cols = options.pop(_CELLS)
    call = read_hidden(module, args, options)
    order = windows.cells(rows, cols).to(call.query.device)
    place = order.flatten().argsort()
    inputs = (call.query, call.key, cast(Tensor, call.value))
    query, key, value = (_in_picture_order(x, windows, place, is_global) for x in inputs)
    cells = rows * cols
    mask = None if is_global or windows.side == 1 else _between_windows(windows, place, order.shape[1], query)
    return AttentionCall(query[:, :, :cells], key, call.scale, mask, value, call.out, shown=slice(0, cells))


def _in_picture_order(x: Tensor, windows: Windows, place: Tensor, is_global: bool) -> Tensor:
    """``[batch heads tokens dim]``: the picture's cells row by row, then all class tokens."""
    count = windows.side**2
    if is_global:
        cut = x.unflatten(2, (count, -1))
    else:
        cut = x.unflatten(0, (-1, count)).transpose(1, 2)
    classes, cells = cut[:, :, :, : windows.class_tokens], cut[:, :, :, windows.class_tokens :]
    return torch.cat((cells.flatten(2, 3)[:, :, place], classes.flatten(2, 3)), dim=2)


def _between_windows(windows: Windows, place: Tensor, tokens: int, query: Tensor) -> Tensor:
    """−∞ from a cell to every token of another window: ``[1 1 queries tokens]``."""
    of_cell = place // tokens
    of_class = torch.arange(windows.side**2, device=place.device).repeat_interleave(windows.class_tokens)
    is_other = of_cell[:, None] != torch.cat((of_cell, of_class))[None, :]
    return torch.zeros_like(is_other, dtype=query.dtype).masked_fill_(is_other, -torch.inf)[None, None]
