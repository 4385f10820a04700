"""Copies of a detector with something about their weights changed; the user's own is never touched."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import torch
from torch import nn

from detr_attnviz.detector import Detector, exact
from detr_attnviz.errors import CaptureError
from detr_attnviz.sites import AttentionSite


def copied(detector: Detector) -> Detector:
    """The same detector around a model of its own.

    Raises: CaptureError for a module that Python cannot copy.
    """
    try:
        with exact(detector.device):  # nobody's hooks are on the model meanwhile, which would be copied, too
            return Detector(copy.deepcopy(detector.family))
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise CaptureError(
            f"{detector.name} cannot be copied ({error}), and its weights are never changed in place: evaluate it "
            "without controls and heads (--no-controls --heads none)"
        ) from error


def shuffled(detector: Detector, seed: int) -> Detector:
    """A copy in which every parameter's values are shuffled among themselves; buffers stay.

    Source: Adebayo et al. 2018 (arXiv 1810.03292), section 3, with each parameter's own values instead of fresh ones,
    so that scales stay as they were.

    Raises: CaptureError for a detector whose parameters are not at hand.
    """
    changed = copied(detector)
    model = getattr(changed.family, "model", None)
    if not isinstance(model, nn.Module):
        raise CaptureError(
            f"{detector.name} shows no module whose weights could be shuffled: evaluate it without controls "
            "(--no-controls)"
        )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            generator = torch.Generator().manual_seed(crc32(f"{seed} {name}".encode()))
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return changed


def heads_of(site: AttentionSite) -> int:
    """How many heads can be silenced at ``site``.

    Raises: CaptureError for attention whose heads are not joined by one known projection.
    """
    module, inner = site.module, _joining(site).weight.shape[1]
    for name in _HEAD_COUNTS:
        if isinstance(count := getattr(module, name, None), int):
            return count
    if isinstance(dim := getattr(module, "head_dim", None), int):
        return inner // dim
    raise CaptureError(f"{site.name} does not say how many heads it has: {_WITHOUT}")


_JOINING = ("out_proj", "o_proj", "output_proj")
_HEAD_COUNTS = ("num_heads", "n_heads", "num_attention_heads")
_WITHOUT = "they cannot be silenced one by one; evaluate it without (--heads none)"


def _joining(site: AttentionSite) -> nn.Linear:
    """The projection that joins the heads: each has a block of its columns."""
    for name in _JOINING:
        if isinstance(found := getattr(site.module, name, None), nn.Linear):
            return found
    raise CaptureError(f"{site.name} joins its heads by no projection called {' or '.join(_JOINING)}: {_WITHOUT}")


@contextmanager
def silenced(site: AttentionSite, head: int) -> Iterator[None]:
    """While the block runs, ``head`` writes nothing: its columns of the joining weights are 0. For copies only."""
    weight = _joining(site).weight
    dim = weight.shape[1] // heads_of(site)
    columns = weight.detach()[:, head * dim : (head + 1) * dim]
    before = columns.clone()
    try:
        columns.zero_()
        yield
    finally:
        columns.copy_(before)
