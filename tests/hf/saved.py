"""Folders of tiny models as transformers writes them, with small pictures to prepare."""

import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from detr_attnviz.families.hf_table import KNOWN
from tests.hf import tiny_dense, tiny_sampled
from tests.hf.tiny_sampled import WITH_TEXT, WORDS

tokenizers = pytest.importorskip("tokenizers", reason="transformers is not installed")

EVERY = (*tiny_dense.FAMILIES, *tiny_sampled.FAMILIES)

EDGES = {"shortest_edge": 64, "longest_edge": 128}
SQUARE = {"height": 64, "width": 64}
WITH_EDGES = ("detr", "conditional_detr", "dab-detr", "table-transformer", "yolos", "deformable_detr", *WITH_TEXT)
"""Families whose pictures keep their proportions."""


def tiny(model_type: str, **changes: Any) -> nn.Module:
    """A tiny model of any family."""
    is_dense = model_type in tiny_dense.FAMILIES
    return tiny_dense.tiny(model_type, **changes) if is_dense else tiny_sampled.tiny(model_type, **changes)


def save_folder(model_type: str, folder: Path, **changes: Any) -> Path:
    """A tiny model, what prepares its pictures, and a tokenizer where it reads a prompt."""
    tiny(model_type, **changes).save_pretrained(folder)  # type: ignore[operator]
    size = EDGES if model_type in WITH_EDGES else SQUARE
    write(folder / "preprocessor_config.json", image_processor_type=KNOWN[model_type].processor, size=size)
    if model_type in WITH_TEXT:
        _save_tokenizer(folder)
    return folder


def _save_tokenizer(folder: Path) -> None:
    words = {text: index for index, text in {0: "[PAD]", 100: "[UNK]", 103: "[MASK]", **WORDS}.items()}
    whole = tokenizers.Tokenizer(tokenizers.models.WordPiece(words, unk_token="[UNK]"))
    whole.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    whole.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    whole.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    whole.save(str(folder / "tokenizer.json"))
    write(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer", do_lower_case=True)


def write(path: Path, **entries: Any) -> None:
    """Adds entries to a JSON object, which is made if it is not there."""
    found = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(found | entries))
