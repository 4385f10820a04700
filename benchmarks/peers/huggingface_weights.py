"""An official checkpoint in Hugging Face's ``DetrForObjectDetection``, in the names of transformers 4 or 5.

The model is asked for its names and each is traced back to the official one, so that both versions fit and nothing
is left over.
"""

import re
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

_RESNETS = {
    "resnet18": ("basic", (2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet50": ("bottleneck", (3, 4, 6, 3), (256, 512, 1024, 2048)),
}
_NORMS = {
    "encoder": {"self_attn_layer_norm": "norm1", "final_layer_norm": "norm2"},
    "decoder": {"self_attn_layer_norm": "norm1", "encoder_attn_layer_norm": "norm2", "final_layer_norm": "norm3"},
}
_SINGLES = {
    "model.query_position_embeddings.": "query_embed.",
    "model.input_projection.": "input_proj.",
    "model.decoder.layernorm.": "transformer.decoder.norm.",
    "class_labels_classifier.": "class_embed.",
    "bbox_predictor.": "bbox_embed.",
}
_BODY = "backbone.0.body"
_LAYER = re.compile(r"model\.(encoder|decoder)\.layers\.(\d+)\.(.+)\.(weight|bias)")
_STEM = re.compile(r".*\.embedder\.embedder\.(convolution|normalization)\.(.+)")
_BLOCK = re.compile(r".*\.stages\.(\d+)\.layers\.(\d+)\.(shortcut|layer\.(\d+))\.(convolution|normalization)\.(.+)")


def load_huggingface(checkpoint: str) -> DetrForObjectDetection:
    """The model with eager attention, holding the weights of a file of the official training script."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=False)
    weights: Mapping[str, Tensor] = saved["model"]
    model = DetrForObjectDetection(_config(saved["args"], weights["class_embed.bias"].shape[0] - 1))
    model.load_state_dict({name: official_tensor(name, weights) for name in model.state_dict()})
    return model.eval()


def official_tensor(name: str, weights: Mapping[str, Tensor]) -> Tensor:
    """The official tensor behind a name of Hugging Face; q, k and v are thirds of the packed one."""
    for theirs, ours in _SINGLES.items():
        if name.startswith(theirs):
            return weights[ours + name.removeprefix(theirs)]
    if match := _LAYER.fullmatch(name):
        half, number, place, kind = match.groups()
        return _of_layer(half, number, place, kind, weights)
    if match := _STEM.fullmatch(name):
        part, rest = match.groups()
        return weights[f"{_BODY}.{'conv1' if part == 'convolution' else 'bn1'}.{rest}"]
    if match := _BLOCK.fullmatch(name):
        stage, block, place, number, part, rest = match.groups()
        if place == "shortcut":
            inner = f"downsample.{0 if part == 'convolution' else 1}"
        else:
            inner = f"{'conv' if part == 'convolution' else 'bn'}{int(number) + 1}"
        return weights[f"{_BODY}.layer{int(stage) + 1}.{block}.{inner}.{rest}"]
    raise KeyError(f"no official tensor for {name}")


def _of_layer(half: str, number: str, place: str, kind: str, weights: Mapping[str, Tensor]) -> Tensor:
    layer = f"transformer.{half}.layers.{number}"
    if place in _NORMS[half]:
        return weights[f"{layer}.{_NORMS[half][place]}.{kind}"]
    module, _, part = place.removeprefix("mlp.").rpartition(".")
    if not module:
        return weights[f"{layer}.{part.replace('fc', 'linear')}.{kind}"]
    attention = f"{layer}.{'multihead_attn' if module == 'encoder_attn' else module}"
    if part in ("o_proj", "out_proj"):
        return weights[f"{attention}.out_proj.{kind}"]
    return weights[f"{attention}.in_proj_{kind}"].chunk(3)["qkv".index(part[0])]


def _config(args: Namespace, classes: int) -> DetrConfig:
    kind, depths, sizes = _RESNETS[args.backbone]
    given: dict[str, Any] = {
        "use_timm_backbone": False,
        "use_pretrained_backbone": False,
        "backbone": None,
        "backbone_config": ResNetConfig(
            layer_type=kind, depths=list(depths), hidden_sizes=list(sizes), out_features=["stage4"]
        ),
        "num_labels": classes,
        "num_queries": args.num_queries,
        "d_model": args.hidden_dim,
        "encoder_layers": args.enc_layers,
        "decoder_layers": args.dec_layers,
        "encoder_ffn_dim": args.dim_feedforward,
        "decoder_ffn_dim": args.dim_feedforward,
        "encoder_attention_heads": args.nheads,
        "decoder_attention_heads": args.nheads,
        "attn_implementation": "eager",
    }
    return DetrConfig(**given)
