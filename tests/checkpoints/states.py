"""Small seeded state dicts in every dialect, built in code from the official one by rules of their own."""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tests.parity.cases import FOLDER
from tests.tiny import tiny_model

State = dict[str, Tensor]

HF_ATTENTION = {"self_attn": "self_attn", "multihead_attn": "encoder_attn"}
HF_NORMS = {
    ("encoder", "1"): "self_attn_layer_norm",
    ("encoder", "2"): "final_layer_norm",
    ("decoder", "1"): "self_attn_layer_norm",
    ("decoder", "2"): "encoder_attn_layer_norm",
    ("decoder", "3"): "final_layer_norm",
}
HF_ENDS = {
    "input_proj.": "model.input_projection.",
    "query_embed.": "model.query_position_embeddings.",
    "class_embed.": "class_labels_classifier.",
    "bbox_embed.": "bbox_predictor.",
    "backbone.1.row_embed.": "model.backbone.position_embedding.row_embeddings.",
    "backbone.1.col_embed.": "model.backbone.position_embedding.column_embeddings.",
    "transformer.decoder.norm.": "model.decoder.layernorm.",
    "transformer.encoder.norm.": "model.encoder.layernorm.",
}


def official_state(**changes: Any) -> State:
    """A tiny DETR's tensors under the official keys."""
    return {name: tensor.clone() for name, tensor in tiny_model(**changes).state_dict().items()}


@cache
def _transformer() -> State:
    return {key: tensor for key, tensor in official_state().items() if key.startswith("transformer.")}


def transformer_state() -> State:
    """The transformer alone: enough to be known as DETR, small enough to be written often."""
    return {key: tensor.clone() for key, tensor in _transformer().items()}


def parity_state(case: str) -> State:
    """Keys and shapes of a full-sized official checkpoint, all zero and without memory."""
    shapes = json.loads((FOLDER / f"{case}.spec.json").read_text())["tensors"]
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


def mask_head() -> State:
    """What a panoptic checkpoint has beside its ``detr.*``."""
    return {
        "bbox_attention.q_linear.weight": torch.rand(32, 32),
        "mask_head.lay1.weight": torch.rand(8, 8, 3, 3),
        "mask_head.out_lay.bias": torch.rand(1),
    }


def prefixed(state: Mapping[str, Tensor], prefix: str) -> State:
    return {prefix + key: tensor for key, tensor in state.items()}


def renamed(state: Mapping[str, Tensor], rename: Callable[[str], str]) -> State:
    return {rename(key): tensor for key, tensor in state.items()}


def detectron2_state(state: Mapping[str, Tensor]) -> State:
    """As the converter of the DETR repository writes it for detectron2."""

    def rename(key: str) -> str:
        if not key.startswith("backbone.0.body."):
            return "detr." + key
        key = key.removeprefix("backbone.0.body.")
        key = re.sub(r"layer(\d)", lambda match: f"res{int(match[1]) + 1}", key)
        key = re.sub(r"bn(\d)", r"conv\1.norm", key)
        key = key.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        return "detr.backbone.0.backbone." + (key if key.startswith("res") else "stem." + key)

    return renamed(state, rename)


def notebook_state() -> State:
    """The demo notebook's 50-line model: ``nn.Transformer``, one linear box layer, ordinary batch norms."""
    state = official_state(positions="learned", notebook=True, box_layers=1, encoder_layers=1, decoder_layers=2)
    ends = {
        "input_proj.": "conv.",
        "class_embed.": "linear_class.",
        "bbox_embed.layers.0.": "linear_bbox.",
        "backbone.0.body.": "backbone.",
    }
    whole = {
        "query_embed.weight": "query_pos",
        "backbone.1.row_embed.weight": "row_embed",
        "backbone.1.col_embed.weight": "col_embed",
    }

    def rename(key: str) -> str:
        for official, found in ends.items():
            if key.startswith(official):
                return found + key.removeprefix(official)
        return whole.get(key, key)

    counters = {"backbone.bn1.num_batches_tracked": torch.tensor(7)}
    return renamed(state, rename) | counters


def hugging_face_state(state: Mapping[str, Tensor], *, is_v5: bool = False, is_native: bool = False) -> State:
    """As Hugging Face names it: on disk (old) or in the memory of v5, timm's ResNet or its own."""
    found: State = {}
    for key, tensor in state.items():
        for name, part in _hf_parts(key, tensor, is_native).items():
            found[_as_v5(name) if is_v5 else name] = part
    return found


def _hf_parts(key: str, tensor: Tensor, is_native: bool) -> State:
    if key.startswith("backbone.0.body."):
        body = key.removeprefix("backbone.0.body.")
        return {"model.backbone.conv_encoder.model." + (_hf_resnet(body) if is_native else body): tensor}
    for official, found in HF_ENDS.items():
        if key.startswith(official):
            return {found + key.removeprefix(official): tensor}
    match = re.fullmatch(r"transformer\.(\w+)\.layers\.(\d+)\.(\w+?)(\d?)\.?((?:in_proj_|out_proj\.)?)(\w+)", key)
    assert match is not None, key
    side, layer, module, number, projection, kind = match.groups()
    base = f"model.{side}.layers.{layer}."
    if projection == "in_proj_":
        attention = HF_ATTENTION[module]
        return {
            f"{base}{attention}.{part}_proj.{kind}": rows for part, rows in zip("qkv", tensor.chunk(3), strict=True)
        }
    if projection:
        return {f"{base}{HF_ATTENTION[module]}.out_proj.{kind}": tensor}
    if module == "linear":
        return {f"{base}fc{number}.{kind}": tensor}
    return {f"{base}{HF_NORMS[side, number]}.{kind}": tensor}


def _hf_resnet(body: str) -> str:
    body = re.sub(r"^conv1\.", "embedder.embedder.convolution.", body)
    body = re.sub(r"^bn1\.", "embedder.embedder.normalization.", body)
    body = re.sub(r"^layer(\d)\.(\d+)\.", lambda match: f"encoder.stages.{int(match[1]) - 1}.layers.{match[2]}.", body)
    body = re.sub(r"\.conv(\d)\.", lambda match: f".layer.{int(match[1]) - 1}.convolution.", body)
    body = re.sub(r"\.bn(\d)\.", lambda match: f".layer.{int(match[1]) - 1}.normalization.", body)
    return body.replace("downsample.0.", "shortcut.convolution.").replace("downsample.1.", "shortcut.normalization.")


def _as_v5(name: str) -> str:
    name = name.replace("out_proj", "o_proj").replace("backbone.conv_encoder.", "backbone.")
    name = name.replace("model.backbone.position_embedding", "model.position_embedding")
    return re.sub(r"\.(fc\d)\.", r".mlp.\1.", name)
