"""The name and kind of every place where attention happens, and how a call there is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

SiteKind = Literal["encoder-self", "decoder-self", "decoder-cross"]


@dataclass(frozen=True)
class AttentionCall:
    """What one call of dense attention worked on, after projection and head split.

    ``query`` is ``[batch heads queries dim]`` and ``key`` ``[batch heads tokens dim]``, not yet scaled;
    the map is ``softmax(scale · query keyᵀ + mask)``. ``mask`` is additive and broadcasts to
    ``[batch heads queries tokens]``; ``None`` is no mask. For methods that ask what attention carries, not only
    where it looks: ``value [batch heads tokens dim]`` is what the weights mix, and ``out [heads dim width]`` how each
    head's result is written, ``value @ out[head]``.
    """

    query: "Tensor"
    key: "Tensor"
    scale: float
    mask: "Tensor | None" = None
    value: "Tensor | None" = None
    out: "Tensor | None" = None


Reader = Callable[["nn.Module", tuple[Any, ...], Mapping[str, Any]], AttentionCall]


@dataclass(frozen=True)
class AttentionSite:
    """A named place of attention: ``encoder.3.self``, ``decoder.5.cross``.

    ``module`` is the module whose forward is watched. ``read`` turns that module's (args, kwargs) into an
    ``AttentionCall`` when a map is asked for; ``None`` reads it as ``nn.MultiheadAttention``.
    """

    name: str
    kind: SiteKind
    layer: int
    module: "nn.Module"
    read: Reader | None = None
