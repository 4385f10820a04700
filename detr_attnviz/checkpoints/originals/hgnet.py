"""HGNetV2 as D-FINE and RT-DETR hold it, under the names of transformers' `hgnet_v2`.

Source: src/nn/backbone/hgnetv2.py of Peterande/D-FINE and of lyuwenyu/RT-DETR, which differ in a few names. All batch
norms act as frozen ones, so counters are dropped.
"""

from detr_attnviz.checkpoints.originals.reading import Reading
from detr_attnviz.checkpoints.originals.templates import expand

BODY = "backbone."
TARGET = "model.backbone.model."
STEM = ("stem1", "stem2a", "stem2b", "stem3", "stem4")
STAGES = range(4)
AGGREGATION = (("aggregation.0", "aggregation_squeeze_conv"), ("aggregation.1", "aggregation_excitation_conv"))
"""Each as D-FINE calls it (as transformers does), and as RT-DETR does."""


def matches(reading: Reading) -> bool:
    """Whether the backbone is this one."""
    return reading.has(f"{BODY}stem.stem1.conv.weight")


def config(reading: Reading, features: list[str]) -> dict[str, object]:
    """The configuration of the backbone."""
    stages = [f"{BODY}stages.{stage}." for stage in STAGES]
    light = [_is_light(reading, stage) for stage in stages]
    firsts = [
        f"{stage}blocks.0.layers.0.{'conv1.' if is_light else ''}conv.weight"
        for stage, is_light in zip(stages, light, strict=True)
    ]
    kernels = [
        f"{stage}blocks.0.layers.0.{'conv2.' if is_light else ''}conv.weight"
        for stage, is_light in zip(stages, light, strict=True)
    ]
    out = [reading.size(_present(reading, f"{stage}blocks.0.", AGGREGATION[1]) + ".conv.weight") for stage in stages]
    return {
        "model_type": "hgnet_v2",
        "embedding_size": reading.size(f"{BODY}stem.stem4.conv.weight"),
        "hidden_sizes": out,
        "depths": [reading.count(f"{stage}blocks.") for stage in stages],
        "stem_channels": [
            3,
            reading.size(f"{BODY}stem.stem1.conv.weight"),
            reading.size(f"{BODY}stem.stem4.conv.weight"),
        ],
        "stage_in_channels": [reading.size(name, 1) for name in firsts],
        "stage_mid_channels": [reading.size(name) for name in firsts],
        "stage_out_channels": out,
        "stage_num_blocks": [reading.count(f"{stage}blocks.") for stage in stages],
        "stage_downsample": [_is_downsampled(reading, stage) for stage in stages],
        "stage_light_block": light,
        "stage_kernel_size": [reading.size(name, 3) for name in kernels],
        "stage_numb_of_layers": [reading.count(f"{stage}blocks.0.layers.") for stage in stages],
        "use_learnable_affine_block": _has_affine(reading),
        "out_features": features,
    }


def names(reading: Reading) -> dict[str, str]:
    """Every original name of the backbone and its target."""
    affine = _has_affine(reading)
    found: dict[str, str] = {}
    for part in STEM:
        found |= _unit(reading, f"{BODY}stem.{part}", f"{TARGET}embedder.{part}", affine)
    for stage in STAGES:
        old, new = f"{BODY}stages.{stage}.", f"{TARGET}encoder.stages.{stage}."
        if _is_downsampled(reading, old):
            found |= _unit(reading, f"{old}downsample", f"{new}downsample", False)
        for block in range(reading.count(f"{old}blocks.")):
            found |= _block(reading, f"{old}blocks.{block}.", f"{new}blocks.{block}.", _is_light(reading, old), affine)
    return found


def _block(reading: Reading, old: str, new: str, light: bool, affine: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    for layer in range(reading.count(f"{old}layers.")):
        if light:
            found |= _unit(reading, f"{old}layers.{layer}.conv1", f"{new}layers.{layer}.conv1", False)
        end = ".conv2" if light else ""
        found |= _unit(reading, f"{old}layers.{layer}{end}", f"{new}layers.{layer}{end}", affine)
    for spellings in AGGREGATION:
        found |= _unit(reading, _present(reading, old, spellings), f"{new}{spellings[0]}", affine)
    return found


def _unit(reading: Reading, old: str, new: str, affine: bool) -> dict[str, str]:
    """A convolution and its norm; ``affine`` says that a learned scale and shift follow its activation."""
    padded = f"{old}.conv.1.weight"
    convolution = padded if reading.has(padded) else f"{old}.conv.weight"
    rows = {convolution: f"{new}.convolution.weight", old + ".bn.{stat}": new + ".normalization.{stat}"}
    if affine:
        rows |= {f"{old}.lab.{part}": f"{new}.lab.{part}" for part in ("scale", "bias")}
    return expand(rows)


def _present(reading: Reading, prefix: str, spellings: tuple[str, ...]) -> str:
    """The spelling that the checkpoint uses, with its prefix."""
    found = (spelling for spelling in spellings if reading.has(f"{prefix}{spelling}.conv.weight"))
    return prefix + next(found, spellings[0])


def _is_light(reading: Reading, stage: str) -> bool:
    return reading.has(f"{stage}blocks.0.layers.0.conv1.conv.weight")


def _is_downsampled(reading: Reading, stage: str) -> bool:
    return reading.has(f"{stage}downsample.conv.weight")


def _has_affine(reading: Reading) -> bool:
    return reading.has(f"{BODY}stem.stem1.lab.scale")
