"""A small Deformable DETR of transformers that starts from the demo's backbone, and its files.

The ResNet of transformers makes a block's output four times as wide as its inside; the demo's are
twice as wide. So every block gets as many outputs again, random ones that nothing reads at first:
what the demo's backbone computes is still computed, beside them.
Axes: B pictures, Q queries.
"""

import json
from pathlib import Path

import torch
from drawings import MEAN, STD, Batch
from safetensors.torch import load_file, save_file
from shapes import CLASSES
from torch import Tensor, nn
from transformers import DeformableDetrConfig, DeformableDetrForObjectDetection, ResNetConfig

DEMO = Path(__file__).parents[1] / "detr_attnviz/demo/detr_shapes.safetensors"
POINTS = 7  # the queries start on a grid of POINTS x POINTS points
WIDTH, HEADS, FEEDFORWARD = 96, 6, 256
STAGES = (128, 256, 512, 1024)  # widths; the demo's are half of them
BLOCKS = (1, 2, 1, 1)
_BODY, _BACKBONE = "backbone.0.body.", "model.backbone.model."
_FEW = 0.01  # of the classes' scores at the start


def make_config() -> DeformableDetrConfig:
    """Strides 8, 16 and 32; two encoder layers, three decoder layers that refine their boxes."""
    backbone = ResNetConfig(
        embedding_size=STAGES[0] // 2,
        hidden_sizes=list(STAGES),
        depths=list(BLOCKS),
        layer_type="bottleneck",
        out_features=["stage2", "stage3", "stage4"],
    )
    return DeformableDetrConfig(
        backbone_config=backbone,
        d_model=WIDTH,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_layers=2,
        decoder_layers=3,
        encoder_ffn_dim=FEEDFORWARD,
        decoder_ffn_dim=FEEDFORWARD,
        num_queries=POINTS**2,
        num_feature_levels=3,
        with_box_refine=True,
        dropout=0.0,
        class_cost=2,
        id2label=dict(enumerate(CLASSES)),
        label2id={name: label for label, name in enumerate(CLASSES)},
    )


def build_model(config: DeformableDetrConfig, demo: Path = DEMO) -> DeformableDetrForObjectDetection:
    """A model to train: the demo's backbone, queries on a grid, heads that expect little."""
    model = DeformableDetrForObjectDetection(config)
    _copy_backbone(model, load_file(demo))
    _place_queries(model)
    with torch.no_grad():
        for head in model.class_embed:
            nn.init.constant_(head.bias, torch.logit(torch.tensor(_FEW)).item())
        for head in model.bbox_embed:
            nn.init.zeros_(head.layers[-1].weight)
            head.layers[-1].bias.zero_()
    return model


def read_model(folder: Path) -> DeformableDetrForObjectDetection:
    """The model of a folder, ready to run in float32."""
    model = DeformableDetrForObjectDetection.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def write_folder(folder: Path, model: DeformableDetrForObjectDetection, shortest_px: int, longest_px: int) -> None:
    """Writes what `from_pretrained` reads: config, how to prepare pictures, half-precision weights."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    halves, seen = {}, set()
    for key, value in model.state_dict().items():  # heads that layers share are written once
        if value.data_ptr() not in seen or value.numel() == 0:
            seen.add(value.data_ptr())
            halves[key] = value.detach().to(torch.float16).contiguous()
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    preparation = {
        "image_processor_type": "DeformableDetrImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": shortest_px, "longest_edge": longest_px},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
        "do_pad": True,
        "format": "coco_detection",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preparation, indent=2) + "\n")


def targets(batch: Batch) -> list[dict[str, Tensor]]:
    """What is on the pictures, as the loss of transformers takes it."""
    present = batch.labels >= 0
    return [
        {"class_labels": labels[there], "boxes": boxes[there]}
        for labels, boxes, there in zip(batch.labels, batch.boxes, present, strict=True)
    ]


def loss_of(model: DeformableDetrForObjectDetection, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """The set loss of all decoder layers, classes weighed twice as Deformable DETR does, and its parts."""
    output = model(batch.images, labels=targets(batch))
    parts: dict[str, Tensor] = output.loss_dict
    classes = torch.stack([value for name, value in parts.items() if name.startswith("loss_ce")]).sum()
    return output.loss + classes, {name: parts[name].item() for name in ("loss_ce", "loss_bbox", "loss_giou")}


@torch.no_grad()
def _copy_backbone(model: DeformableDetrForObjectDetection, demo: dict[str, Tensor]) -> None:
    state = model.state_dict()
    for key, value in demo.items():
        if key.startswith(_BODY):
            own = state[_BACKBONE + _renamed(key.removeprefix(_BODY))]
            if own.dim() == 4 and own.shape[1] > value.shape[1]:
                own[:, value.shape[1] :] = 0  # what is read of the outputs that the demo lacks
            own[tuple(slice(size) for size in value.shape)] = value.float()
    shortcut = state[_BACKBONE + "encoder.stages.0.layers.0.shortcut.convolution.weight"]
    half = shortcut.shape[1]  # the demo's first block has as many outputs as inputs and adds these unchanged
    shortcut[:half, :, 0, 0] = torch.eye(half)


def _renamed(key: str) -> str:
    """torchvision's name of a ResNet's value → that of transformers."""
    first, *_, kind = parts = key.split(".")
    if first in ("conv1", "bn1"):
        return f"embedder.embedder.{_module(first)}.{kind}"
    block = f"encoder.stages.{int(first[-1]) - 1}.layers.{parts[1]}"
    if parts[2] == "downsample":
        return f"{block}.shortcut.{('convolution', 'normalization')[int(parts[3])]}.{kind}"
    return f"{block}.layer.{int(parts[2][-1]) - 1}.{_module(parts[2])}.{kind}"


def _module(name: str) -> str:
    return "convolution" if name.startswith("conv") else "normalization"


@torch.no_grad()
def _place_queries(model: DeformableDetrForObjectDetection) -> None:
    """The first two values of a query's position are where it starts, before the sigmoid."""
    steps = torch.logit((torch.arange(POINTS) + 0.5) / POINTS)
    parts = model.model
    parts.query_position_embeddings.weight[:, :2] = torch.cartesian_prod(steps, steps)
    parts.reference_points.weight.zero_()
    parts.reference_points.weight[:, :2] = torch.eye(2)
    parts.reference_points.bias.zero_()
