"""Recognises a checkpoint of a relative's original repository, and gives it as transformers would keep it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

from detr_attnviz.checkpoints.originals import conditional_detr, d_fine, dab_detr, deformable_detr, rt_detr
from detr_attnviz.checkpoints.originals.reading import Reading
from detr_attnviz.checkpoints.originals.templates import move
from detr_attnviz.checkpoints.prefixes import strip_prefixes
from detr_attnviz.checkpoints.substance import refuse_hollow


@dataclass(frozen=True)
class Original:
    """An original checkpoint as a Hugging Face folder would hold it.

    ``config`` is the content of ``config.json`` and ``tensors`` that of the weights' file. ``assumed`` holds one
    sentence for everything that neither the tensors nor the arguments told.
    """

    model_type: str
    config: dict[str, object]
    tensors: dict[str, Tensor]
    assumed: tuple[str, ...] = ()


class Family(Protocol):
    """What each family's module offers."""

    def config(self, reading: Reading) -> dict[str, object]:
        """The configuration, without its kind."""

    def names(self, reading: Reading) -> dict[str, str]:
        """Every original name and its target."""

    def dropped(self, reading: Reading) -> set[str]:
        """Names that have no target on purpose."""


class Layout(NamedTuple):
    """A repository's layout, and what transformers calls the model."""

    title: str
    model_type: str
    architecture: str
    matches: Callable[[Reading], bool]
    family: Family


LAYOUTS = (
    Layout(
        "Conditional DETR",
        "conditional_detr",
        "ConditionalDetrForObjectDetection",
        conditional_detr.matches,
        conditional_detr,
    ),
    Layout("DAB-DETR", "dab-detr", "DabDetrForObjectDetection", dab_detr.matches, dab_detr),
    Layout(
        "Deformable DETR",
        "deformable_detr",
        "DeformableDetrForObjectDetection",
        deformable_detr.matches,
        deformable_detr,
    ),
    Layout("RT-DETR", "rt_detr", "RTDetrForObjectDetection", rt_detr.matches, rt_detr),
    Layout("RT-DETR v2", "rt_detr_v2", "RTDetrV2ForObjectDetection", rt_detr.matches_second, rt_detr),
    Layout("D-FINE", "d_fine", "DFineForObjectDetection", d_fine.matches, d_fine),
)


def original(tensors: Mapping[str, Tensor], args: Mapping[str, object], source: str = "checkpoint") -> Original | None:
    """The checkpoint under transformers' names, or ``None`` if it is of none of these repositories.

    ``args`` are a training script's arguments, empty if there are none; ``source`` is how errors call the checkpoint.

    Raises:
        CheckpointKeysError: one of these repositories', but tensors are missing or have no place; lists them all.
        CheckpointError: an argument or a backbone that is not supported, by its name; or tensors that are hollow.
        ChoiceError: a number of heads that does not divide the width.
    """
    bare = {strip_prefixes(name): tensor for name, tensor in tensors.items()}
    for layout in LAYOUTS:
        reading = Reading(layout.title, source, bare, args)
        if layout.matches(reading):
            return _convert(layout, reading)
    return None


def _convert(layout: Layout, reading: Reading) -> Original:
    refuse_hollow(reading.tensors)
    family = layout.family
    kind: dict[str, object] = {"model_type": layout.model_type, "architectures": [layout.architecture]}
    config = kind | family.config(reading)
    moved = move(reading.tensors, family.names(reading), source=reading.place, dropped=family.dropped(reading))
    return Original(layout.model_type, config, moved, tuple(reading.assumed))
