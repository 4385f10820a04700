"""Copies of transformers' models: a copy has every site, and neither hears the other."""

from pathlib import Path

import pytest
import torch
from torch import nn

from detr_attnviz.detector import Detector
from detr_attnviz.evaluation.copies import copied
from detr_attnviz.recording.hooks import record
from tests.hf.saved import EVERY
from tests.hf.test_family import IMAGE, opened

pytest.importorskip("transformers", reason="transformers is not installed")


def listeners(model: nn.Module) -> int:
    """How many hooks there are (transformers has some of its own), and stand-ins for a module's ``config``."""
    stand_ins = [part for part in model.modules() if type(part.__dict__.get("config")).__name__ == "_Heard"]
    return len(stand_ins) + sum(len(part._forward_hooks) for part in model.modules())


@pytest.mark.parametrize("model_type", EVERY)
def test_a_copys_trace_is_the_originals_and_hangs_nothing_on_it(model_type: str, tmp_path: Path) -> None:
    family = opened(model_type, tmp_path)
    detector = Detector(family)
    twin = copied(detector)
    before = listeners(family.model)
    with record(twin.sites) as records, torch.inference_mode():
        assert listeners(twin.family.model) > listeners(family.model) == before  # type: ignore[attr-defined]
        twin.family.forward(twin.prepare(IMAGE).inputs)
    assert set(records) == {site.name for site in detector.sites}
    one, other = detector.trace(IMAGE), twin.trace(IMAGE)
    assert torch.equal(one.logits, other.logits)
    assert set(one.records) == set(other.records) == set(records)
    for name in records:
        assert torch.equal(one.attention(name, queries=[0]), other.attention(name, queries=[0])), name
