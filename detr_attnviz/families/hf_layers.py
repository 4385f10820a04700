"""What every decoder layer of transformers' models predicts, by the heads and references that the model itself uses.

Most models give only their last layer's prediction out. The others are made of what their forward holds anyway, as
their own auxiliary losses make them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import get_ident
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Told = tuple[Any, Sequence[tuple[Tensor, Tensor]]]
"""The model's output, and per decoder layer its logits and boxes, both as the model arranges them."""
_Run = Callable[[], Any]
_EPS = 1e-5


def told_by_layers(model: nn.Module, run: _Run) -> Told:
    """One forward by ``run``, and what each decoder layer predicted in it; nothing of a family that does not tell."""
    tell = _TELLERS.get(cast(Any, model).config.model_type)
    return tell(model, run) if tell is not None else (run(), ())


def _normed(model: Any, run: _Run) -> Told:
    """DETR: the decoder's norm, then the heads; between the layers there is no norm."""
    output, states, _ = _run_decoder(model, run)
    return output, [(model.class_labels_classifier(x), model.bbox_predictor(x).sigmoid()) for x in states]


def _conditional(model: Any, run: _Run) -> Told:
    """Conditional DETR: as DETR, with boxes' middles told from the query's reference point."""
    output, states, decoded = _run_decoder(model, run)
    reference = _logit(decoded.reference_points).transpose(0, 1)
    boxes = [_moved(model.bbox_predictor(x), reference) for x in states]
    return output, [(model.class_labels_classifier(x), box) for x, box in zip(states, boxes, strict=True)]


def _dab(model: Any, run: _Run) -> Told:
    with _calls([model.model.decoder]) as (calls,):
        output = run()
    decoded = calls[-1].output
    states, references = decoded.intermediate_hidden_states, decoded.reference_points
    logits, boxes = model.class_embed(states), _moved(model.bbox_predictor(states), _logit(references))
    return output, list(zip(logits, boxes, strict=True))


def _refined(model: Any, run: _Run) -> Told:
    """Deformable DETR: a layer's box is told from the reference that the layer before left."""
    output = run()
    references = _references(output)
    return output, [
        (model.class_embed[layer](x), _moved(model.bbox_embed[layer](x), _logit(references[layer])))
        for layer, x in enumerate(output.intermediate_hidden_states.unbind(1))
    ]


def _grounded(model: Any, run: _Run) -> Told:
    """Grounding DINO: as Deformable DETR, with a logit for every token of the text that was read."""
    with _calls([model.class_embed[-1]]) as (calls,):
        output = run()
    text = {name: calls[-1].given[name] for name in ("text_hidden_state", "text_token_mask")}
    references = _references(output)
    return output, [
        (
            model.class_embed[layer](vision_hidden_state=x, **text),
            _moved(model.bbox_embed[layer](x), _logit(references[layer])),
        )
        for layer, x in enumerate(output.intermediate_hidden_states.unbind(1))
    ]


def _given(model: Any, run: _Run) -> Told:
    """RT-DETR: the output holds every layer's."""
    output = run()
    return output, _by_layer(output.intermediate_logits, output.intermediate_reference_points)


def _in_training(model: Any, run: _Run) -> Told:
    """D-FINE: its decoder scores all layers only while it trains, and the first one then twice."""
    decoder = model.model.decoder
    was, decoder.training = decoder.training, True  # the layers themselves keep their mode
    try:
        output = run()
    finally:
        decoder.training = was
    return output, _by_layer(output.intermediate_logits[:, 1:], output.intermediate_reference_points[:, 1:])


def _scaled(model: Any, run: _Run) -> Told:
    """LW-DETR: offsets count in the reference's sides, and every layer starts from the same reference."""
    output = run()
    states, reference = output.intermediate_hidden_states, output.intermediate_reference_points[-1]
    offsets, sides = model.bbox_embed(states), reference[..., 2:]
    boxes = torch.cat((offsets[..., :2] * sides + reference[..., :2], offsets[..., 2:].exp() * sides), dim=-1)
    return output, list(zip(model.class_embed(states), boxes, strict=True))


def _four_corners(model: Any, run: _Run) -> Told:
    """PP-DocLayout v4: its output holds every layer's corners; it brings every layer's classifier and uses the last."""
    output = run()
    states = output.intermediate_hidden_states.unbind(1)
    logits = [head(x) for head, x in zip(model.model.decoder.class_embed, states, strict=True)]
    return output, list(zip(logits, output.intermediate_reference_points.unbind(1), strict=True))


_TELLERS: Mapping[str, Callable[[Any, _Run], Told]] = {
    "detr": _normed,
    "table-transformer": _normed,
    "conditional_detr": _conditional,
    "dab-detr": _dab,
    "deformable_detr": _refined,
    "grounding-dino": _grounded,
    "mm-grounding-dino": _grounded,
    "rt_detr": _given,
    "rt_detr_v2": _given,
    "pp_doclayout_v2": _given,
    "pp_doclayout_v3": _given,
    "pp_doclayout_v4": _four_corners,
    "d_fine": _in_training,
    "deimv2": _in_training,
    "lw_detr": _scaled,
    "rf_detr": _scaled,
}
"""All but YOLOS, which has no decoder, and predicts only behind its last layer's norm."""


def _run_decoder(model: Any, run: _Run) -> tuple[Any, list[Tensor], Any]:
    """The model's output, every layer's normed state, and the decoder's output."""
    decoder = model.model.decoder
    with _calls([*decoder.layers, decoder]) as (*layers, decoded):
        output = run()
    states = [calls[-1].output for calls in layers[:-1]]
    before = [decoder.layernorm(state[0] if isinstance(state, tuple) else state) for state in states]
    return output, [*before, output.last_hidden_state], decoded[-1].output


def _references(output: Any) -> list[Tensor]:
    """Where each layer starts from."""
    return [output.init_reference_points, *output.intermediate_reference_points.unbind(1)]


def _by_layer(logits: Tensor, boxes: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(logits.unbind(1), boxes.unbind(1), strict=True))


def _moved(offsets: Tensor, reference: Tensor) -> Tensor:
    """Boxes by offsets from a reference, a middle alone or a whole box; both are logits."""
    told = F.pad(reference, (0, offsets.shape[-1] - reference.shape[-1]))
    return torch.sigmoid(offsets + told)


def _logit(x: Tensor) -> Tensor:
    logits: Tensor = torch.special.logit(x, eps=_EPS)
    return logits


@dataclass(frozen=True)
class _Call:
    given: Mapping[str, Any]
    output: Any


@contextmanager
def _calls(modules: Sequence[nn.Module]) -> Iterator[list[list[_Call]]]:
    """This thread's calls of each module while the block runs; ``given`` is what had a name."""
    thread, found = get_ident(), [list[_Call]() for _ in modules]

    def hook(calls: list[_Call], module: nn.Module, args: object, kwargs: dict[str, Any], output: Any) -> None:
        if get_ident() == thread:
            calls.append(_Call(kwargs, output))

    with ExitStack() as stack:
        for module, calls in zip(modules, found, strict=True):
            stack.callback(module.register_forward_hook(partial(hook, calls), with_kwargs=True).remove)
        yield found
