"""Reads an architecture off tensors' shapes and a training script's arguments, and notes what neither tells."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from detr_attnviz.checkpoints.coco import COCO_CONTIGUOUS_NAMES, COCO_NAMES
from detr_attnviz.checkpoints.dialects import NUMBER
from detr_attnviz.checkpoints.packed import check_heads
from detr_attnviz.checkpoints.saved import (
    OFFICIAL_HEADS,
    heads_assumed,
    quoted,
    saved_dilation,
    saved_heads,
    saved_names,
    text_of,
    whole,
)
from detr_attnviz.errors import CheckpointError


@dataclass(frozen=True)
class Reading:
    """A checkpoint of one family, being read; ``family`` is the name used in messages.

    A size that a missing tensor would have told is 0: the list of names reports the tensor.
    """

    family: str
    source: str
    tensors: Mapping[str, Tensor]
    args: Mapping[str, object]
    assumed: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        """How errors call the checkpoint."""
        return f"{self.source}, read as {self.family} of its original repository"

    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""
        return name in self.tensors

    def size(self, name: str, axis: int = 0) -> int:
        """Length of one axis of a tensor."""
        shape = self.tensors[name].shape if name in self.tensors else ()
        return int(shape[axis]) if axis < len(shape) else 0

    def count(self, prefix: str) -> int:
        """One more than the largest number that follows ``prefix``; a gap shows as missing names."""
        pattern = re.compile(re.escape(prefix) + f"({NUMBER})" + r"(?:\.|$)")
        numbers = (int(match.group(1)) for name in self.tensors if (match := pattern.match(name)))
        return max(numbers, default=-1) + 1

    def heads(self, width: int) -> int:
        """From the arguments, else assumed."""
        saved = saved_heads(self.args)
        if saved.value is None:
            self.assumed.append(heads_assumed(saved.strange))
        heads = saved.value or OFFICIAL_HEADS
        if width:
            check_heads(width, heads)
        return heads

    def transformer(self, heads: int) -> dict[str, object]:
        """Layers, heads and feed-forward widths of an encoder and a decoder, in transformers' words."""
        both = ("encoder", "decoder")
        return {
            **{f"{stack}_layers": self.count(f"transformer.{stack}.layers.") for stack in both},
            **{f"{stack}_attention_heads": heads for stack in both},
            **{f"{stack}_ffn_dim": self.size(f"transformer.{stack}.layers.0.linear1.weight") for stack in both},
        }

    def whole(self, name: str, usual: int, meaning: str) -> int:
        """A number from the arguments, else the original script's usual one, assumed."""
        found = whole(self.args.get(name))
        if found is None:
            self.assumed.append(f"{usual} {meaning} assumed (the checkpoint does not say)")
        return found or usual

    def refuse_unless(self, name: str, taught: Collection[object]) -> None:
        """Raise for an argument whose value changes the model in a way that was not taught.

        Raises:
            CheckpointError: naming the argument, its value and those that are known.
        """
        value = self.args.get(name)
        if value is not None and not (isinstance(value, (str, int)) and value in taught):  # tensors compare in parts
            known = ", ".join(repr(each) for each in taught)
            raise CheckpointError(f"{self.place}: {quoted(name, value)} is not supported; supported are {known}")

    def dilated(self) -> bool:
        """Whether the last stage is dilated (DC5); not, unless the arguments say so."""
        dilation = saved_dilation(self.args).value
        if dilation is None:
            self.assumed.append("last stage not dilated, assumed (the checkpoint does not say): --dilation changes it")
        return bool(dilation)

    def labels(self, classes: int) -> dict[str, object]:
        """The configuration's entry for the classes: their names where they are known or usual."""
        listed = saved_names(self.args)
        if listed and len(listed) == classes:
            return _id2label(listed)
        dataset = self.args.get("dataset_file")
        usual = {len(names): names for names in (COCO_NAMES, COCO_CONTIGUOUS_NAMES)}.get(classes)
        if usual is None or dataset not in (None, "coco"):
            return {"num_labels": classes}
        if dataset is None:
            self.assumed.append(f"COCO class names assumed from the {classes} class rows: --classes FILE changes them")
        return _id2label(usual)


def _id2label(names: Collection[object]) -> dict[str, object]:
    table = {str(label): text_of(name) for label, name in enumerate(names)}
    return {"id2label": table, "label2id": {name: int(label) for label, name in table.items()}}
