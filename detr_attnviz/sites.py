"""The name and kind of every place where attention happens, and how a call there is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

SiteKind = Literal["encoder-self", "decoder-self", "decoder-cross"]
Form = Literal["dense", "sampled"]


@dataclass(frozen=True)
class AttentionCall:
    """What one call of dense attention worked on, after projection and head split.

    ``query`` is ``[batch heads queries dim]`` and ``key`` ``[batch heads tokens dim]``, not yet scaled;
    the map is ``softmax(scale · query keyᵀ + mask)``. ``mask`` is additive and broadcasts to
    ``[batch heads queries tokens]``; ``None`` is no mask. For methods that ask what attention carries, not only
    where it looks: ``value [batch heads tokens dim]`` is what the weights mix, and ``out [heads dim width]`` how each
    head's result is written, ``value @ out[head]``.

    ``shown`` are the tokens that a map has columns for, when the softmax runs over others too; rows then sum to less
    than 1. ``terms`` names parts of ``dim`` whose products are terms of the logit: they add up to it.
    """

    query: "Tensor"
    key: "Tensor"
    scale: float
    mask: "Tensor | None" = None
    value: "Tensor | None" = None
    out: "Tensor | None" = None
    shown: slice | None = None
    terms: Mapping[str, slice] = field(default_factory=dict)


@dataclass(frozen=True)
class SampledCall:
    """What one call of deformable attention worked on: where each query read the feature maps, and how much.

    ``locations [batch heads queries samples 2]`` are (x, y) in 0–1 of the padded input, and may lie outside;
    ``weights [batch heads queries samples]`` sum to 1. ``levels`` has each sample's feature map, 0 the first, and
    ``shapes`` each feature map's (rows, cols), padding included. ``reference [batch queries 2]`` is the (x, y) that
    offsets start from, in the same units.
    """

    locations: "Tensor"
    weights: "Tensor"
    levels: tuple[int, ...]
    shapes: tuple[tuple[int, int], ...]
    reference: "Tensor"


Reader = Callable[["nn.Module", tuple[Any, ...], Mapping[str, Any]], AttentionCall]
SampledReader = Callable[["nn.Module", tuple[Any, ...], Mapping[str, Any]], SampledCall]
Note = Callable[[tuple[Any, ...], Mapping[str, Any]], None]
Listen = Callable[["nn.Module", Note], Callable[[], None]]


@dataclass(frozen=True)
class Mixed:
    """What a module of attention mixed in one call, and what came of it.

    ``value [batch heads tokens dim]`` is what weights mix, at sampled attention that of all levels' cells, one level
    after the other. ``write`` makes rows of the module's output of what was mixed for some of its queries, ``[batch
    queries heads·dim]``; ``output [batch queries width]`` is the one that it gave.
    """

    value: "Tensor"
    write: Callable[["Tensor"], "Tensor"]
    output: "Tensor"


Own = Callable[["nn.Module", Callable[["Tensor | Mixed"], None]], Callable[[], None]]


@dataclass(frozen=True)
class AttentionSite:
    """A named place of attention: ``encoder.3.self``, ``decoder.5.cross``.

    ``module`` is the module whose forward is watched. ``read`` turns that module's (args, kwargs) into an
    ``AttentionCall`` (for ``form`` "sampled" a ``SampledCall``) when a map is asked for; ``None`` reads it as
    ``nn.MultiheadAttention``. ``level`` is the feature map that the tokens are cells of, 0 the first.
    ``stride_px`` is what a token covers where it is a cell of none of the levels.
    ``is_part`` tells that the module's attention is over cells and queries together, of which this is one part.
    ``listen(module, note)`` starts to hear the module's calls by other means than a forward hook: it passes what
    ``read`` is to be given to ``note`` and returns what stops it.
    ``own(module, tell)`` starts to hear what the module itself says of its attention, for proofs: after each call it
    passes its weights, ``[batch heads queries tokens]`` as the map has them, to ``tell``, or a ``Mixed`` where it gives
    none (always so for ``form`` "sampled"), and returns what stops it. ``nn.MultiheadAttention`` needs none.
    """

    name: str
    kind: SiteKind
    layer: int
    module: "nn.Module"
    read: Reader | SampledReader | None = None
    form: Form = "dense"
    level: int = 0
    listen: Listen | None = None
    is_part: bool = False
    own: Own | None = None
    stride_px: int | None = None

    def hear(self, note: Note) -> Callable[[], None]:
        """Passes what ``read`` is to be given to ``note``, call by call, until the returned is called."""
        if self.listen is not None:
            return self.listen(self.module, note)

        def hook(module: "nn.Module", args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            note(args, kwargs)

        return self.module.register_forward_hook(hook, with_kwargs=True).remove
