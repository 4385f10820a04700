"""What the modules of transformers' models say of their own attention, which proves what is read of it.

A module of dense attention is run once more on what it was just given, by eager attention, the one that gives weights
out; where its tokens lie is asked of its own backbone. Sampled attention gives out no weights of cells: there it is
the values that were mixed, and the output.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import partial
from inspect import signature
from threading import get_ident
from typing import Any, cast

import torch
from torch import Tensor, nn

from detr_attnviz.families.hf_windows import patches_of
from detr_attnviz.sites import AttentionSite, Mixed

_Tell = Callable[[Tensor | Mixed], None]
_Stop = Callable[[], None]
_WINDOWED = ("lw_detr", "rf_detr")


def with_own(model: nn.Module, site: AttentionSite) -> AttentionSite:
    """``site`` of an object detector of transformers, with ``own``."""
    config = cast(Any, model.config)
    if site.form == "sampled":
        return replace(site, own=_tell_mixed)
    if config.model_type == "yolos":
        return replace(site, own=partial(_tell_weights, partial(_span, config.num_detection_tokens, site.kind)))
    if config.model_type in _WINDOWED and site.kind == "encoder-self":
        return replace(site, own=partial(_tell_windows, model.get_submodule("model.backbone.backbone")))
    return replace(site, own=partial(_tell_weights, lambda weights: weights))


def _tell_mixed(module: nn.Module, tell: _Tell) -> _Stop:
    forward = signature(module.forward)

    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given = forward.bind(*args, **kwargs).arguments
        tell(Mixed(_values(module, given), getattr(module, "output_proj", _itself), output[0]))

    return module.register_forward_hook(hook, with_kwargs=True).remove


def _values(module: Any, given: Mapping[str, Any]) -> Tensor:
    """Zero where the module was told that there is padding, as it makes them."""
    tokens, is_real = given["encoder_hidden_states"], given.get("attention_mask")
    values = module.value_proj(tokens) if hasattr(module, "value_proj") else tokens
    values = values if is_real is None else values.masked_fill(~is_real[..., None], 0.0)
    return cast(Tensor, values.unflatten(-1, (module.n_heads, -1)).transpose(1, 2))


def _itself(x: Tensor) -> Tensor:
    return x


def _tell_weights(arrange: Callable[[Tensor], Tensor], module: nn.Module, tell: _Tell) -> _Stop:
    """``module`` may only wrap the one that attends; records are made when it is through."""
    caller = module._modules.get("attention") or module
    thread, given = get_ident(), []

    def see(caller: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if get_ident() == thread:
            given.append((args, kwargs))

    def answer(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if get_ident() == thread:
            tell(arrange(_weights(caller, *given.pop())))

    handles = (caller.register_forward_hook(see, with_kwargs=True), module.register_forward_hook(answer))

    def stop() -> None:
        for handle in handles:
            handle.remove()

    return stop


def _weights(caller: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """``[batch heads queries tokens]`` as the module returns them; it stays as it is, its look-alike is eager."""
    twin = copy(caller)
    if "config" in twin.__dict__:
        twin.__dict__["config"] = _Eager(twin.__dict__["config"])
    form = signature(twin.forward)
    asked = form.bind(*map(_additive, args), **{name: _additive(value) for name, value in kwargs.items()})
    if "output_attentions" in form.parameters:
        asked.arguments["output_attentions"] = True
    return cast(Tensor, twin.forward(*asked.args, **asked.kwargs)[1])


class _Eager:
    """Stands in for a module's ``config``; only its attention is another."""

    _attn_implementation = "eager"

    def __init__(self, config: Any) -> None:
        self._config = config

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)


def _additive(value: Any) -> Any:
    """A mask for sdpa says True where one may look; eager attention adds."""
    if not isinstance(value, Tensor) or value.dtype != torch.bool or value.dim() != 4:
        return value
    lowest = torch.finfo(torch.float32).min
    return torch.zeros_like(value, dtype=torch.float32).masked_fill_(~value, lowest)


def _span(detections: int, kind: str, weights: Tensor) -> Tensor:
    """Out of YOLOS' weights of a class token, patches and detection tokens."""
    patches, objects = slice(1, -detections), slice(-detections, None)
    rows = patches if kind == "encoder-self" else objects
    return weights[:, :, rows, objects if kind == "decoder-self" else patches]


def _tell_windows(backbone: nn.Module, module: nn.Module, tell: _Tell) -> _Stop:
    thread = get_ident()
    sizes: list[tuple[int, int]] = []

    def see(patches: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if get_ident() == thread:
            sizes[:] = [(output.shape[-2], output.shape[-1])]

    def arrange(weights: Tensor) -> Tensor:
        return _in_picture_order(weights, _cells_of(backbone, *sizes[0]))

    handle = patches_of(backbone).register_forward_hook(see)
    stop_telling = _tell_weights(arrange, module, tell)

    def stop() -> None:
        handle.remove()
        stop_telling()

    return stop


class _Reached(Exception):
    """The first layer, and no more needs to be run."""


def _cells_of(backbone: nn.Module, rows: int, cols: int) -> Tensor:
    """Which cell each token is, ``[windows tokens]``, −1 where it is none.

    Every patch is raised by its number + 1; what tokens are raised by when they come to the first layer tells theirs.
    """
    bare = _bare(backbone)
    patches, layer = patches_of(bare), next(bare.get_submodule("encoder.layer").children())
    raised, seen = torch.arange(rows * cols, device=patches.weight.device).view(rows, cols) + 1, []

    def stop(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append((args or (kwargs.get("hidden_states"),))[0].double())
        raise _Reached

    layer.register_forward_pre_hook(stop, with_kwargs=True)
    height_px, width_px = rows * patches.kernel_size[0], cols * patches.kernel_size[1]
    pixels = patches.weight.new_zeros(1, patches.in_channels, height_px, width_px)
    for times in (0, 1):
        handle = patches.register_forward_hook(lambda patches, args, output, by=times * raised: output + by)
        try:
            bare(pixels)
        except _Reached:
            handle.remove()
    return cast(Tensor, (seen[1] - seen[0]).mean(-1).round().long() - 1)


def _bare(module: nn.Module) -> nn.Module:
    """A look-alike with the same weights that nobody listens to."""
    twin = copy(module)
    for hooks in (
        "_forward_hooks",
        "_forward_pre_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_pre_hooks_with_kwargs",
    ):
        twin.__dict__[hooks] = OrderedDict()
    children = module._modules.items()
    twin.__dict__["_modules"] = {name: None if child is None else _bare(child) for name, child in children}
    return twin


def _in_picture_order(weights: Tensor, cells: Tensor) -> Tensor:
    """One picture's windows, or all of them at once, as a map of its cells: what is another window's is 0."""
    windows, tokens = cells.shape
    if weights.shape[-1] == tokens:
        whole = weights.new_zeros(weights.shape[1], windows, tokens, windows, tokens)
        whole.diagonal(dim1=1, dim2=3).copy_(weights.permute(1, 2, 3, 0))
        whole = whole.flatten(3).flatten(1, 2)
    else:
        whole = weights[0]
    place = cells.flatten().argsort()[int((cells < 0).sum()) :]
    return whole[None, :, place][..., place]
