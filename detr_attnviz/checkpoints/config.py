"""Reads a DETR's architecture off its tensors' shapes and what was saved beside them; says what it had to assume.

Shapes tell everything but the number of heads, the dilation of the last stage (DC5) and the class names. Those come,
in this order, from an explicit option, from saved arguments, from the name of an official file, or from the defaults
of the official training script, which are then named in ``DetrConfig.assumed``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from detr_attnviz.checkpoints import shapes, zoo
from detr_attnviz.checkpoints.coco import COCO_CONTIGUOUS_NAMES, COCO_NAMES, COCO_PANOPTIC_NAMES
from detr_attnviz.checkpoints.naming import Renamed
from detr_attnviz.checkpoints.packed import check_heads
from detr_attnviz.checkpoints.preparation import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    LONGEST_PX,
    SHORTEST_PX,
    Three,
    saved_preparation,
)
from detr_attnviz.checkpoints.relatives import refuse_relative
from detr_attnviz.checkpoints.saved import (
    LARGEST,
    OFFICIAL_HEADS,
    heads_assumed,
    how_told,
    saved_dilation,
    saved_heads,
    saved_names,
    text_of,
)
from detr_attnviz.errors import CheckpointError, ChoiceError

_MOST_LETTERS = 1000
_DEPTHS = {
    (False, (2, 2, 2, 2)): "18",
    (False, (3, 4, 6, 3)): "34",
    (True, (3, 4, 6, 3)): "50",
    (True, (3, 4, 23, 3)): "101",
    (True, (3, 8, 36, 3)): "152",
}


@dataclass(frozen=True)
class DetrConfig:
    """Everything needed to build a DETR and to prepare pictures for it.

    ``classes`` counts the rows of ``class_embed`` without the no-object row; ``class_names`` is indexed by label id
    and empty if nothing is known. ``positions`` is ``sine`` or ``learned`` with ``position_cells`` rows and columns.
    ``notebook`` marks the demo notebook's model, whose forward differs. ``shortest_px`` and ``longest_px`` are the
    sides pictures are resized to. ``assumed`` holds one sentence for everything that nothing in the checkpoint told.
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool
    expansion: int
    width_per_group: int
    groups: int
    dilation: bool
    width: int
    heads: int
    feedforward: int
    encoder_layers: int
    decoder_layers: int
    queries: int
    classes: int
    positions: Literal["sine", "learned"]
    position_cells: int
    pre_norm: bool
    masks: bool
    notebook: bool
    box_layers: int
    class_names: tuple[str, ...] = ()
    shortest_px: int = SHORTEST_PX
    longest_px: int = LONGEST_PX
    mean: Three = IMAGENET_MEAN
    std: Three = IMAGENET_STD
    assumed: tuple[str, ...] = ()

    @property
    def backbone_name(self) -> str:
        """``resnet50``, ``resnext50_32x4d``, ``wide_resnet50_2`` …, or in words: ``slim resnet (1,2,2,1)``."""
        depth = _DEPTHS.get((self.bottleneck, self.blocks))
        usual = not self.bottleneck or self.expansion == 4
        if depth and usual and self.groups == 1 and self.width_per_group == 64:
            return f"resnet{depth}"
        if depth and usual and self.groups > 1:
            return f"resnext{depth}_{self.groups}x{self.width_per_group}d"
        if depth and usual and self.width_per_group > 64:
            return f"wide_resnet{depth}_{self.width_per_group // 64}"
        slim = self.expansion < 4 or self.width_per_group < 64
        return f"{'slim ' if slim else ''}resnet ({','.join(map(str, self.blocks))})"


def infer(
    renamed: Renamed,
    *,
    args: Mapping[str, object],
    file_name: str,
    nheads: int | None = None,
    dilation: bool | None = None,
    class_names: tuple[str, ...] | None = None,
) -> DetrConfig:
    """The architecture of a checkpoint under official keys.

    Args:
        args: what the file says about itself (``Checkpoint.args``).
        file_name: its name, which tells heads and dilation if it is an official one.
        nheads, dilation, class_names: explicit choices of the user, which win over everything.

    Raises:
        CheckpointError: another model, tensors missing, or shapes that contradict each other; all are named.
        ChoiceError: ``nheads`` does not divide the width, or there are more names than classes.
    """
    refuse_relative((), args)
    found = shapes.read(renamed.tensors)
    official = zoo.of_file(file_name)
    notes: list[str] = []
    heads = _heads(found.width, args, official, nheads, notes)
    dilated = _dilation(args, official, dilation, notes)
    if class_names is None:
        names = _class_names(found.classes, args, renamed.dialect, official, notes)
    else:
        names = check_class_names(class_names, found.classes)
        if len(names) < found.classes:
            notes.append(too_few_names(len(names), found.classes))
    notebook = renamed.dialect == "notebook"
    preparation = saved_preparation(args, notes)
    return DetrConfig(
        blocks=found.resnet.blocks,
        bottleneck=found.resnet.bottleneck,
        expansion=found.resnet.expansion,
        width_per_group=found.resnet.width_per_group,
        groups=found.resnet.groups,
        dilation=dilated,
        width=found.width,
        heads=heads,
        feedforward=found.feedforward,
        encoder_layers=found.encoder_layers,
        decoder_layers=found.decoder_layers,
        queries=found.queries,
        classes=found.classes,
        positions="sine" if found.position_cells is None else "learned",
        position_cells=found.position_cells or 50,
        pre_norm=found.has_encoder_norm and not notebook,
        masks=bool(renamed.extra),
        notebook=notebook,
        box_layers=found.box_layers,
        class_names=names,
        shortest_px=preparation.shortest_px,
        longest_px=preparation.longest_px,
        mean=preparation.mean,
        std=preparation.std,
        assumed=tuple(notes),
    )


def too_few_names(names: int, classes: int) -> str:
    """What a user should know when not every class has a name."""
    return f"{names} names for {classes} classes: ids from {names} on are called class N"


def check_class_names(names: tuple[str, ...], classes: int) -> tuple[str, ...]:
    """``names``, unless they are too many.

    Raises:
        ChoiceError: there are more names than classes.
    """
    if len(names) > classes:
        raise ChoiceError(
            f"{len(names)} class names were given for a checkpoint of {classes} classes (ids 0–{classes - 1})"
        )
    return names


def _heads(
    width: int, args: Mapping[str, object], official: zoo.Known | None, option: int | None, notes: list[str]
) -> int:
    saved = saved_heads(args)
    if option is not None:
        check_heads(width, option)
        if saved.value is not None and saved.value != option:
            notes.append(f"{option} heads taken from --nheads, although the checkpoint says {saved.value}")
        return option
    heads = saved.value or (official.heads if official else OFFICIAL_HEADS)
    if saved.value is None and official is None:
        notes.append(heads_assumed(saved.strange))
    elif saved.strange:
        notes.append(f"{heads} heads, although the checkpoint also says {', '.join(saved.strange)}: --nheads N chooses")
    try:
        check_heads(width, heads)
    except ChoiceError as error:
        source = "the checkpoint's own arguments say so" if saved.value else "assumed, as the checkpoint does not say"
        raise CheckpointError(f"{error} ({source}); give the right number with --nheads N") from None
    return heads


def _dilation(args: Mapping[str, object], official: zoo.Known | None, option: bool | None, notes: list[str]) -> bool:
    saved = saved_dilation(args)
    if option is not None:
        if saved.value is not None and saved.value != option:
            said = _dilated(saved.value)
            notes.append(f"last stage {_dilated(option)} as the option says, although the checkpoint says {said}")
        return option
    if saved.value is not None:
        return saved.value
    dilated = official is not None and official.dilation
    if official is None or saved.strange:
        why = how_told(saved.strange, "yes or no")
        notes.append(
            f"last stage {_dilated(dilated)}, assumed {why}: {'--no-dilation' if dilated else '--dilation'} changes it"
        )
    return dilated


def _dilated(value: bool) -> str:
    return "dilated (DC5)" if value else "not dilated"


def _class_names(
    classes: int, args: Mapping[str, object], dialect: str, official: zoo.Known | None, notes: list[str]
) -> tuple[str, ...]:
    listed = saved_names(args)
    if listed and all(isinstance(name, str) for name in listed):
        return _in_short(map(str, listed[:classes]))
    if names := _names_by_id(args.get("id2label"), classes):
        return _in_short(names)
    usual = _usual_names(classes, args, dialect)
    if usual and official is None and args.get("dataset_file") not in ("coco", "coco_panoptic"):
        notes.append(f"COCO class names assumed from the {classes} class rows: --classes FILE changes them")
    return usual


def _in_short(names: Iterable[str]) -> tuple[str, ...]:
    """Names as long as a picture could show; a file may hold a megabyte in one."""
    return tuple(name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…" for name in names)


def _usual_names(classes: int, args: Mapping[str, object], dialect: str) -> tuple[str, ...]:
    if args.get("dataset_file") not in (None, "coco", "coco_panoptic"):
        return ()
    if classes == len(COCO_CONTIGUOUS_NAMES) and dialect == "detectron2":
        return COCO_CONTIGUOUS_NAMES
    return {len(COCO_NAMES): COCO_NAMES, len(COCO_PANOPTIC_NAMES): COCO_PANOPTIC_NAMES}.get(classes, ())


def _names_by_id(table: object, classes: int) -> tuple[str, ...]:
    """Names of a Hugging Face ``id2label``; its placeholders ``LABEL_0`` … say nothing."""
    if not isinstance(table, Mapping):
        return ()
    names = {number: text_of(name) for label, name in table.items() if (number := _label(label)) is not None}
    if not names or all(name == f"LABEL_{label}" for label, name in names.items()):
        return ()
    return tuple(names.get(label, "") for label in range(classes))


def _label(value: object) -> int | None:
    """A label's number, also as digits."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and 0 <= value < LARGEST else None
