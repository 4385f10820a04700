"""Takes off what wrappers put before a tensor's key."""

PREFIXES = ("module.", "_orig_mod.", "model.", "detr.", "net.", "network.")
"""DataParallel, torch.compile, Hugging Face and Lightning, panoptic and detectron2, one's own; in any order."""


def strip_prefixes(key: str) -> str:
    """The key alone: ``module.detr.class_embed.bias → class_embed.bias``."""
    while key.startswith(PREFIXES):
        key = key.partition(".")[2]
    return key
