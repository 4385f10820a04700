"""A prompt in words for models that look for what it names, and which of its tokens belong to which phrase."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from detr_attnviz.errors import CheckpointError, ChoiceError
from detr_attnviz.families.hf_processing import first_line

_SEPARATORS = (".", "?")


@dataclass(frozen=True, eq=False)
class Prompt:
    """Phrases, which take the place of classes, and the tokens that a model reads.

    ``tokens`` are a tokenizer's tensors, each ``[1 tokens]``; ``places`` has each phrase's token numbers.
    """

    phrases: tuple[str, ...]
    places: tuple[tuple[int, ...], ...]
    tokens: Mapping[str, Tensor]

    def inputs(self, batch: int, device: torch.device) -> dict[str, Tensor]:
        """The same tokens for every picture of a batch."""
        return {name: value.to(device).expand(batch, -1) for name, value in self.tokens.items()}

    def logits(self, logits: Tensor) -> Tensor:
        """``[batch queries phrases]`` of ``[batch queries tokens]``: a phrase is as likely as its likeliest token."""
        return torch.stack([logits[..., list(place)].max(-1).values for place in self.places], dim=-1)


def prompt_of(text: str, folder: Path, longest: int) -> Prompt:
    """``text`` ("a cat. a remote control.") by the tokenizer in ``folder``; ``longest`` is the model's most tokens.

    Raises: ChoiceError for a text without words, or too many; CheckpointError for a folder without a tokenizer.
    """
    from transformers import AutoTokenizer

    words = text.strip().lower()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise CheckpointError(f"{folder}: no tokenizer that transformers can load: {first_line(error)}") from error
    found = tokenizer(words if words.endswith(_SEPARATORS) else f"{words}.", return_tensors="pt")
    tokens = {name: found[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in found}
    ids = tokens["input_ids"][0].tolist()
    if len(ids) > longest:
        raise ChoiceError(f"text comes to {len(ids)} tokens; the model reads {longest} at most: give fewer phrases")
    between = {*tokenizer.all_special_ids, *tokenizer.convert_tokens_to_ids(list(_SEPARATORS))}
    between.discard(tokenizer.unk_token_id)
    places = _runs(ids, between)
    if not places:
        raise ChoiceError(f'text {text!r} names nothing: give what to look for, such as "a cat. a remote control."')
    return Prompt(tuple(tokenizer.decode([ids[at] for at in place]) for place in places), places, tokens)


def _runs(ids: Sequence[int], between: set[int]) -> tuple[tuple[int, ...], ...]:
    """The numbers of neighbouring tokens that no token of ``between`` parts."""
    runs: list[list[int]] = [[]]
    for number, token in enumerate(ids):
        if token in between:
            runs.append([])
        else:
            runs[-1].append(number)
    return tuple(tuple(run) for run in runs if run)
