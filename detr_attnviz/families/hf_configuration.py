"""A digest of what besides its weights makes a transformers model give what it gives."""

import hashlib
import json
from typing import Any, cast

from detr_attnviz.families.hf_family import HFFamily

_NO_PART = frozenset(
    {
        "_name_or_path",
        "name_or_path",
        "architectures",
        "dtype",
        "torch_dtype",
        "id2label",
        "label2id",
        "transformers_version",
    }
)
"""Where a model came from, and what provenance has in other places."""


def configuration_sha256(family: HFFamily) -> str:
    """The sha256, in hex, of the configuration, of how pictures are prepared, and of the prompt's tokens."""
    prompt, processing = family.prompt, family.processing
    preparation = {name: value for name, value in vars(processing).items() if name != "notes"}
    found = {
        "config": cast(Any, family.model.config).to_dict(),
        "preparation": preparation | {"processor": processing.processor.to_dict()},
        "tokens": {name: ids.tolist() for name, ids in prompt.tokens.items()} if prompt else {},
    }
    text = json.dumps(_parts_of(found), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _parts_of(value: Any) -> Any:
    """Plain data without what is no part of the model, at any depth."""
    if isinstance(value, dict):
        return {str(name): _parts_of(part) for name, part in value.items() if name not in _NO_PART}
    return [_parts_of(part) for part in value] if isinstance(value, (list, tuple)) else value
