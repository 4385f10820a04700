"""What attention may not look at, as the page has it: hidden tokens as ones, any other mask as the numbers it adds."""

from dataclasses import dataclass

import torch
from torch import Tensor

from detr_attnviz.explorer.arrays import Arrays, Row, array_of
from detr_attnviz.recording.records import HIDDEN
from detr_attnviz.sites import AttentionCall


@dataclass(frozen=True, eq=False)
class Mask:
    """``hidden`` is bool ``[tokens]`` or ``[queries tokens]``; ``added [heads queries tokens]`` may have 1 of each.

    Tokens are all that the softmax runs over.
    """

    hidden: Tensor | None = None
    added: Tensor | None = None

    @classmethod
    def of(cls, call: AttentionCall) -> "Mask":
        """The mask of the first picture of a call."""
        if call.mask is None:
            return cls()
        mask = call.mask[0]
        is_hidden = mask <= HIDDEN
        if not bool(is_hidden.any()) and not bool(mask.any()):
            return cls()
        if not _only_hides(mask, is_hidden):
            return cls(added=mask.float())
        flat = is_hidden[0].expand(-1, call.key.shape[2])
        return cls(hidden=flat[0] if len(flat) == 1 else flat)

    @property
    def never_seen(self) -> Tensor | None:
        """Tokens that no query may look at, bool ``[tokens]``."""
        return self.hidden if self.hidden is None or self.hidden.dim() == 1 else self.hidden.all(0)

    def on(self, logits: Tensor, rows: slice) -> Tensor:
        """Masked logits ``[heads queries tokens]`` of these queries, in place."""
        if self.added is not None:
            logits += self.added if self.added.shape[1] == 1 else self.added[:, rows]
        if self.hidden is not None:
            logits.masked_fill_(self.hidden if self.hidden.dim() == 1 else self.hidden[rows], -torch.inf)
        return logits

    def entry(self, arrays: Arrays) -> Row:
        """The document's entries."""
        return {
            "hidden": None if self.hidden is None else arrays.add(array_of(self.hidden.to(torch.uint8))),
            "bias": None if self.added is None else arrays.add(array_of(self.added)),
        }


def _only_hides(mask: Tensor, is_hidden: Tensor) -> bool:
    """Whether ``hidden`` says it all: alike in all heads, and a query that sees nothing has no numbers to weigh."""
    blind = mask[is_hidden.all(-1)]
    return len(mask) == 1 and not bool(mask[~is_hidden].any()) and not bool(blind.isfinite().any())
