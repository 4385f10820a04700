"""Traces of every family keep references only, so nothing that they keep may change after it was seen."""

from pathlib import Path

import pytest
import torch

from detr_attnviz.detector import load
from detr_attnviz.families.hf_table import KNOWN
from detr_attnviz.recording.hooks import record
from tests.hf import tiny_dense, tiny_sampled
from tests.tiny import drawn_picture

pytest.importorskip("transformers", reason="transformers is not installed")
PICTURE = drawn_picture(192, 160)


# transformers 5.4 makes its BERT tokenizer in a way that newer tokenizers call old.
@pytest.mark.filterwarnings("ignore:Deprecated in 0.9.0:DeprecationWarning")
@pytest.mark.parametrize("model_type", KNOWN)
def test_nothing_that_a_record_keeps_changes_afterwards(tmp_path: Path, model_type: str) -> None:
    known = KNOWN[model_type]
    save = tiny_dense.save_folder if model_type in tiny_dense.FAMILIES else tiny_sampled.save_folder
    save(model_type, tmp_path)
    detector = load(tmp_path, text="cat. remote dog." if known.needs_text else None)
    inputs = detector.prepare(PICTURE).inputs
    with torch.no_grad():  # where versions of tensors are counted, which inference mode does not
        with record(detector.sites, copy=False) as records, record(detector.sites, copy=True) as copies:
            detector.family.forward(inputs)
    assert set(records) == {site.name for site in detector.sites}
    for site in detector.sites:
        kept = records[site.name]._kept
        assert kept._inputs
        assert all(held.is_unchanged and held.version is not None for held in kept._inputs.values())
        if site.form == "dense":
            torch.testing.assert_close(records.dense(site.name).map(), copies.dense(site.name).map(), atol=0, rtol=0)
        else:
            kept_places, copied = records.sampled(site.name).locations, copies.sampled(site.name).locations
            torch.testing.assert_close(kept_places, copied, atol=0, rtol=0)
