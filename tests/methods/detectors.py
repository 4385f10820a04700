"""Tiny detectors, changed where methods look."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from detr_attnviz.detector import Detector
from detr_attnviz.recording.multihead import read_multihead
from detr_attnviz.sites import AttentionCall, SiteKind


def with_biases(detector: Detector) -> Detector:
    """``detector`` with biases in its projections, which start as zeros."""
    random = torch.Generator().manual_seed(2)
    for site in detector.sites:
        bias = site.module.get_parameter("in_proj_bias").data
        bias.copy_(0.5 * torch.randn(bias.shape, generator=random))
    return detector


def with_own_reader(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> Detector:
    """``detector`` with readers of its own at every site, which tell of query and key and of nothing else."""

    def read(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
        return read_multihead(module, args, kwargs)

    monkeypatch.setitem(vars(detector), "sites", tuple(replace(site, read=read) for site in detector.sites))
    return detector


def without(detector: Detector, kind: SiteKind, monkeypatch: pytest.MonkeyPatch) -> Detector:
    """``detector`` as if its attention of this kind could not be recorded."""
    monkeypatch.setitem(vars(detector), "sites", tuple(site for site in detector.sites if site.kind != kind))
    return detector
