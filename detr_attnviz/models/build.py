"""Canonical tensors and a configuration in, a strictly loaded ``eval()`` model out."""

from collections.abc import Mapping

from torch import Tensor

from detr_attnviz.checkpoints.config import DetrConfig
from detr_attnviz.errors import CheckpointKeysError
from detr_attnviz.models.detr import DETR
from detr_attnviz.models.resnet import ResNetShape


def build(config: DetrConfig, tensors: Mapping[str, Tensor], *, source: str = "checkpoint") -> DETR:
    """The model of ``config`` holding ``tensors`` (official keys), in float32 and in ``eval()``.

    Raises: CheckpointKeysError listing every tensor that is missing, unexpected or of another shape.
    """
    model = DETR(
        backbone=ResNetShape(
            blocks=config.blocks,
            bottleneck=config.bottleneck,
            expansion=config.expansion,
            width_per_group=config.width_per_group,
            groups=config.groups,
            dilation=config.dilation,
        ),
        width=config.width,
        heads=config.heads,
        feedforward=config.feedforward,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        queries=config.queries,
        classes=config.classes,
        positions=config.positions,
        position_cells=config.position_cells,
        pre_norm=config.pre_norm,
        box_layers=config.box_layers,
        notebook=config.notebook,
    )
    _compare(model, tensors, source)
    model.load_state_dict(dict(tensors), strict=True)
    return model.eval()


def _compare(model: DETR, tensors: Mapping[str, Tensor], source: str) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    both = expected.keys() & found.keys()
    wrong = [
        f"{name} {list(found[name])} instead of {list(expected[name])}"
        for name in both
        if found[name] != expected[name]
    ]
    if wrong or expected.keys() != found.keys():
        raise CheckpointKeysError(
            source,
            missing=expected.keys() - found.keys(),
            unexpected=found.keys() - expected.keys(),
            wrong_shape=wrong,
        )
