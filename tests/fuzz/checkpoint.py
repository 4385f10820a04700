"""Target: files and folders of every kind that a checkpoint may come in, read and hashed."""

import argparse
import collections
import hashlib
import io
import json
import pickle
import tempfile
from functools import cache
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from detr_attnviz.checkpoints.read import read, sha256_of
from detr_attnviz.errors import AttnVizError
from tests.fuzz import trap
from tests.fuzz.answers import must
from tests.fuzz.archives import changed_safetensors, changed_zip, rezipped
from tests.fuzz.noise import changed_bytes, changed_json_text, one_in
from tests.fuzz.parcel import packed, unpacked, written
from tests.fuzz.pickles import changed_pickle, nested

USUAL = "checkpoint.pth"
_SUFFIXES = (".pth", ".pt", ".bin", ".pkl", ".ckpt", ".safetensors")
_INDEX = {"metadata": {"total_size": 56}, "weight_map": {"a.weight": "one.safetensors", "b": "two.safetensors"}}
_CONFIG = {"model_type": "detr", "encoder_attention_heads": 8, "id2label": {"0": "cat"}}
_PREPARATION = {"size": {"shortest_edge": 800, "longest_edge": 1333}, "image_mean": [0.5, 0.5, 0.5]}


def _state() -> dict[str, Tensor]:
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16)}


def _contents() -> list[Any]:
    state = _state()
    args = argparse.Namespace(nheads=8, dilation=False, output_dir=PurePosixPath("/runs/7"), epochs=300)
    odd = {
        "view": torch.arange(12.0)[2:8:2],
        "expanded": torch.zeros(()).expand(3, 4),
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.empty(2, 3, device="meta"),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "complex": torch.ones(2, dtype=torch.complex64),
    }
    return [
        state,
        collections.OrderedDict(state),
        {"model": state, "args": args, "epoch": 3},
        {"model": state, "ema": {"module": state}, "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{}]}},
        {"model": state, "extra": trap.Trap()},
        {"model": odd, "lr": 1e-4, "name": "é"},
    ]


@cache
def seeds() -> tuple[bytes, ...]:
    """Whole files and folders of every kind, and hostile ones."""
    found = [_saved(content, is_zip) for content in _contents() for is_zip in (True, False)]
    found += [pickle.dumps({"a": 1, "hostile": trap.Trap()}, protocol=protocol) for protocol in range(6)]
    found += [pickle.dumps({"a": [1, 2.5, "x", None, True]}, protocol=protocol) for protocol in range(6)]
    whole = save(_state(), metadata={"config": json.dumps({"nheads": 8})})
    return (*(packed({USUAL: content}) for content in found), packed({"x.safetensors": whole}), *_folders())


def _folders() -> list[bytes]:
    config, preparation = json.dumps(_CONFIG).encode(), json.dumps(_PREPARATION).encode()
    beside = {"config.json": config, "preprocessor_config.json": preparation}
    parts = {"one.safetensors": save({"a.weight": torch.ones(2, 3)}), "two.safetensors": save({"b": torch.ones(2)})}
    index = {"model.safetensors.index.json": json.dumps(_INDEX).encode()}
    return [
        packed({**beside, "model.safetensors": save(_state())}),
        packed({**beside, "pytorch_model.bin": _saved(_state(), True)}),
        packed({**beside, **index, **parts}),
        packed({**beside, "other.pth": _saved(_state(), False)}),
        packed(beside),
    ]


def _saved(content: Any, is_zip: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    return file.getvalue()


def generate(random: Random) -> bytes:
    """A seed with its structure or bytes changed."""
    return mutate(random.choice(seeds()), random)


def mutate(data: bytes, random: Random) -> bytes:
    """Changes one file of the parcel, by what kind it is of."""
    files = unpacked(data, USUAL)
    name = random.choice(sorted(files))
    content = _changed(name, files[name], random)
    if one_in(random, 30) and len(files) == 1:
        name, files = f"x{random.choice(_SUFFIXES)}", {}
    return packed({**files, name: content})


def _changed(name: str, content: bytes, random: Random) -> bytes:
    if one_in(random, 6):
        return changed_bytes(content, random)
    if name.endswith(".json"):
        return changed_json_text(content, random)
    if content.startswith(b"PK"):
        return changed_zip(content, random)
    if content[8:9] == b"{":
        return changed_safetensors(content, random)
    if one_in(random, 40):
        hostile = nested(random)
        return hostile if one_in(random, 2) else rezipped([("x/data.pkl", hostile), ("x/version", b"3\n")], random)
    return changed_pickle(content, random)


def run(data: bytes) -> None:
    """Reads and hashes it: one of our errors, or tensors by name; nothing of it runs."""
    files = unpacked(data, USUAL)
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_fast_folder()) as name:
        folder = Path(name)
        written(files, folder)
        path = folder if len(files) > 1 else folder / next(iter(files))
        del trap.sprung[:]
        try:
            _check_read(path)
        finally:
            assert not trap.sprung, "a pickle ran code"
        _check_hash(path, files)


def _check_read(path: Path) -> None:
    try:
        found = read(path)
    except AttnVizError as error:
        must(str(path) in str(error), f"the message does not name the file: {error}")
        must(path.is_dir() or "\n" not in str(error), "the message has several lines")  # names in a folder may hold any
        return
    assert found.tensors
    assert all(isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in found.tensors.items())
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in found.metadata.items())
    assert all(isinstance(key, str) for key in found.args)


def _check_hash(path: Path, files: dict[str, bytes]) -> None:
    try:
        digest = sha256_of(path)
    except AttnVizError:
        must(path.is_dir(), "a file that is there was not hashed")
        return
    if path.is_file():
        assert digest == hashlib.sha256(files[path.name]).hexdigest()


@cache
def _fast_folder() -> str | None:
    """In memory where the system has such a place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
