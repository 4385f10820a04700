"""A prompt in words for models that look for what it names, and which of its tokens belong to which phrase."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detr_attnviz.errors import CheckpointError, ChoiceError
from detr_attnviz.families.hf_processing import first_line

_SEPARATORS = (".", "?")
_TOKENIZERS = ("tokenizer.json", "vocab.txt")
_MOST_BYTES = 1 << 26
"""Of a file that a tokenizer is read from; a vocabulary of 250,000 words has 17 million."""


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

    Raises: ChoiceError for a text without words, too many, or words that the tokenizer does not know; CheckpointError
        for a folder without a tokenizer.
    """
    tokenizer = _tokenizer(folder)
    words = text.strip().lower()
    words = words if words.endswith(_SEPARATORS) else f"{words}."
    found = _tokenized(tokenizer, words, folder)
    tokens = {name: found[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in found}
    ids = tokens["input_ids"][0].tolist()
    if len(ids) > longest:
        raise ChoiceError(f"text comes to {len(ids)} tokens; the model reads {longest} at most: give fewer phrases")
    between = {*tokenizer.all_special_ids, *tokenizer.convert_tokens_to_ids(list(_SEPARATORS))}
    between.discard(tokenizer.unk_token_id)
    places = _runs(ids, between)
    if not places:
        raise ChoiceError(f'text {text!r} names nothing: give what to look for, such as "a cat. a remote control."')
    phrases = _as_written(words, found["offset_mapping"][0].tolist(), places)
    _refuse_unknown(phrases, [{ids[at] for at in place} for place in places], tokenizer.unk_token_id)
    return Prompt(phrases, places, tokens)


def _tokenizer(folder: Path) -> Any:
    """transformers' own of ``folder``; without its files transformers would make one that knows no word."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise CheckpointError(
            f"{folder}: no tokenizer in the folder: expected {' or '.join(_TOKENIZERS)}; fetch the whole folder"
        )
    _refuse_large(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise CheckpointError(f"{folder}: no tokenizer that transformers can load: {first_line(error)}") from error
    if not tokenizer.is_fast:  # it cannot say where in the text a token stands
        raise CheckpointError(f"{folder}: its tokenizer is a {type(tokenizer).__name__}; expected a BertTokenizer")
    return tokenizer


def _refuse_large(folder: Path) -> None:
    """transformers reads every small file of a tokenizer whole."""
    for path in sorted(folder.iterdir()):
        if (
            path.suffix in (".json", ".txt", ".model", ".jinja")
            and path.is_file()
            and path.stat().st_size > _MOST_BYTES
        ):
            raise CheckpointError(f"{path}: larger than {_MOST_BYTES >> 20} MiB, which no tokenizer is; fetch it again")


def _tokenized(tokenizer: Any, words: str, folder: Path) -> Any:
    try:
        return tokenizer(words, return_tensors="pt", return_offsets_mapping=True)
    except Exception as error:
        raise CheckpointError(f"{folder}: its tokenizer cannot read a text: {first_line(error)}") from error


def _as_written(words: str, offsets: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """Each phrase as it stands in ``words``; ``offsets`` are each token's first letter and the one after its last."""
    return tuple(" ".join(words[offsets[place[0]][0] : offsets[place[-1]][1]].split()) for place in places)


def _refuse_unknown(phrases: Sequence[str], tokens: Sequence[set[int]], unknown: int | None) -> None:
    """A model that knows no word of a phrase would look for anything, or nothing."""
    strange = [repr(phrase) for phrase, found in zip(phrases, tokens, strict=True) if found == {unknown}]
    if strange:
        raise ChoiceError(f"the model's vocabulary has no word of {', '.join(strange)}: say it in other words")


def _runs(ids: Sequence[int], between: set[int]) -> tuple[tuple[int, ...], ...]:
    """The numbers of neighbouring tokens that no token of ``between`` parts."""
    runs: list[list[int]] = [[]]
    for number, token in enumerate(ids):
        if token in between:
            runs.append([])
        else:
            runs[-1].append(number)
    return tuple(tuple(run) for run in runs if run)
