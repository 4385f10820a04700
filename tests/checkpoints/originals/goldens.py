"""The small original checkpoints, rebuilt from names, and what the original code computes with them."""

import importlib
import json
import lzma
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detr_attnviz.checkpoints.originals.recognise import Original
from tests.parity.seeded import seeded_state_dict

FOLDER = Path(__file__).parent / "golden"
CASES = tuple(sorted(path.name.removesuffix(".spec.json") for path in FOLDER.glob("*.spec.json")))


@dataclass(frozen=True)
class Golden:
    """One case: ``picture [1 3 rows cols]`` with its ``padding`` (True), and the original's answer for it."""

    tensors: dict[str, Tensor]
    args: dict[str, object]
    picture: Tensor
    padding: Tensor
    logits: Tensor
    boxes: Tensor


@cache
def golden(name: str) -> Golden:
    spec = json.loads((FOLDER / f"{name}.spec.json").read_text())
    tensors = seeded_state_dict(spec["tensors"])
    tensors |= {key: torch.tensor(values) for key, values in spec["given"].items()}
    tensors |= {key: tensors[other] for key, other in spec["shared"].items()}
    picture, padding = _picture(spec["picture"])
    with np.load(FOLDER / f"{name}.npz") as arrays:
        answer = {key: torch.from_numpy(arrays[key]) for key in ("logits", "boxes")}
    return Golden(tensors, spec["args"], picture, padding, **answer)


def _picture(spec: dict[str, Any]) -> tuple[Tensor, Tensor]:
    noise = np.random.RandomState(spec["seed"]).standard_normal((1, 3, *spec["size"])).astype(np.float32)
    rows, cols = spec["valid"]
    padding = torch.ones(1, *spec["size"], dtype=torch.bool)
    padding[:, :rows, :cols] = False
    return torch.from_numpy(noise).masked_fill(padding[:, None], 0), padding


def load(found: Original) -> tuple[nn.Module, dict[str, object]]:
    """The transformers model of a converted checkpoint, and what did not fit; skips if a package is not there."""
    transformers = pytest.importorskip("transformers", reason='needs transformers: pip install -e ".[hf]"')
    if "dilation" in found.config:
        pytest.importorskip("timm", reason="a dilated backbone needs timm: pip install timm")
    architectures = found.config["architectures"]
    assert isinstance(architectures, list)
    model_class = getattr(transformers, architectures[0])
    try:
        config = model_class.config_class.from_dict(dict(found.config))
    except importlib.import_module("huggingface_hub.errors").StrictDataclassFieldValidationError:
        _skip_if_it_refuses_its_own(model_class.config_class, transformers.__version__)
        raise
    model, loading = model_class.from_pretrained(
        None,
        config=config,
        state_dict=dict(found.tensors),
        output_loading_info=True,
    )
    return model.eval(), loading


def _skip_if_it_refuses_its_own(config_class: type, version: str) -> None:
    try:
        config_class()
    except importlib.import_module("huggingface_hub.errors").StrictDataclassFieldValidationError as error:
        pytest.skip(f"transformers {version} does not accept its own {config_class.__name__}(): {error}")


@cache
def published() -> dict[str, dict[str, list[int]]]:
    """Names and shapes of the published models' tensors."""
    with lzma.open(FOLDER / "published.json.xz", "rt") as file:
        found: dict[str, dict[str, list[int]]] = json.load(file)
    return found


def published_state(name: str, points: tuple[int, ...]) -> dict[str, Tensor]:
    """A published model's tensors, all zero and without memory, but for the shares of its sampling points."""
    scale = torch.tensor([1 / count for count in points for _ in range(count)])
    return {
        key: scale if key.endswith("num_points_scale") else torch.zeros(()).expand(shape)
        for key, shape in published()[name].items()
    }
