"""Target: state dicts of odd names and shapes and odd arguments, through all that reads an architecture off them.

A case is JSON: a base, a state dict that is built in code, and what is changed in it. ``$`` marks values that JSON has
no word for. Shapes may be far larger than memory: such tensors are views of a single number, as a file can hold them.
"""

import argparse
import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from detr_attnviz.checkpoints import attention, inspection, naming
from detr_attnviz.checkpoints.config import infer
from detr_attnviz.checkpoints.dialects import IGNORED
from detr_attnviz.checkpoints.layouts import LAYOUTS, UNTOLD
from detr_attnviz.checkpoints.originals.recognise import original
from detr_attnviz.checkpoints.read import Checkpoint
from detr_attnviz.checkpoints.relatives import refuse_folder_untold
from detr_attnviz.errors import AttnVizError
from detr_attnviz.models.build import build
from tests.checkpoints import states
from tests.checkpoints.originals.goldens import CASES, golden
from tests.fuzz.noise import DIGITS, FLOATS, WHOLE, WORDS, changed_bytes, changed_json, odd_value, one_in

_DTYPES = ("float32", "float16", "bfloat16", "float64", "int64", "bool", "complex64", "float8_e4m3fn", "uint8")
_KINDS = ("real", "real", "view", "view", "meta", "sparse", "quantized", "nested", "nan", "inf", "transposed")
_MOST_REAL = 1 << 16
_ARGUMENTS = (
    *("nheads", "num_attention_heads", "encoder_attention_heads", "decoder_attention_heads", "n_head", "dilation"),
    *("backbone_config", "backbone_kwargs", "model_type", "classes", "class_names", "id2label", "dataset_file"),
    *("preprocessor_config", "shortest_px", "longest_px", "mean", "std", "eval_idx", "cross_attn_method", "backbone"),
    *("query_select_method", "num_queries", "pe_temperatureH", "pe_temperatureW", "position_embedding", "pre_norm"),
    *("transformer_activation", "output_stride", "transformers_version", "architectures"),
)
_PARTS = ("shortest_edge", "longest_edge", "height", "size", "max_size", "image_mean", "image_std", "output_stride")
_PREFIXES = ("module.", "model.", "detr.", "net.", "module.model.", "x.", "", ".", "model..")
_FILES = ("checkpoint.pth", "detr-r50-e632da11.pth", "detr-r50-dc5-f0fb7ef5.pth", "é.pth")

Spec = dict[str, Any]


@cache
def _bases() -> Mapping[str, states.State]:
    official = states.official_state()
    learned = states.official_state(positions="learned", encoder_layers=2)
    return {
        "official": official,
        "learned": learned,
        "pre-norm": states.official_state(pre_norm=True, box_layers=2),
        "panoptic": states.prefixed(official, "detr.") | states.mask_head(),
        "detectron2": states.detectron2_state(official),
        "notebook": states.notebook_state(),
        "hugging-face": states.hugging_face_state(official),
        "hugging-face-5": states.hugging_face_state(learned, is_v5=True, is_native=True),
        "parity": states.parity_state("r50"),
        "attention": _attention_alone(),
        "nothing": {},
        **{f"original/{case}": golden(case).tensors for case in CASES},
    }


def _attention_alone() -> states.State:
    """A module of every layout that is known, 12 features wide, under names that tell its kind and layer."""
    found: states.State = {}
    for number, layout in enumerate(LAYOUTS):
        prefix = f"{('encoder', 'decoder', 'blocks')[number % 3]}.layers.{number}.self_attn."
        rows = 36 if layout.is_fused else 12
        found |= {prefix + name: torch.rand(rows, 12) for name in layout.weights}
        found |= {prefix + name: torch.rand(rows) for name in layout.biases}
        for name in layout.outputs[:1]:
            out = name.format(module=prefix[:-1], parent=prefix[:-1].rpartition(".")[0])
            found |= {f"{out}.weight": torch.rand(12, 12), f"{out}.bias": torch.rand(12)}
    return found | {f"other.{ending}": torch.rand(12, 12) for ending in UNTOLD}


def seeds() -> tuple[bytes, ...]:
    """Every base as it is."""
    return tuple(json.dumps({"base": name}).encode() for name in _bases())


def generate(random: Random) -> bytes:
    """A base with one to a dozen changes."""
    spec: Spec = {"base": random.choice(sorted(_bases()))}
    for _ in range(random.choice((1, 1, 1, 2, 3, 12))):
        spec = random.choice(_CHANGES)(spec, random)
    return json.dumps(spec).encode()


def mutate(data: bytes, random: Random) -> bytes:
    """One change more; one that is no case is changed by bytes."""
    try:
        spec = json.loads(data)
        assert isinstance(spec, dict)
        assert spec.get("base") in _bases()
        return json.dumps(random.choice((*_CHANGES, changed_json))(spec, random)).encode()
    except (ValueError, AssertionError, TypeError, AttributeError, RecursionError):
        return changed_bytes(data, random)


def _with_tensor(spec: Spec, random: Random) -> Spec:
    """Another shape, dtype or kind for a tensor that is there."""
    name, tensor = _any_tensor(spec, random)
    return _changed(spec, name, _other_tensor(list(tensor.shape), random))


def _without_tensor(spec: Spec, random: Random) -> Spec:
    return _changed(spec, _any_tensor(spec, random)[0], None)


def _with_other_name(spec: Spec, random: Random) -> Spec:
    """The tensor under a name with another number, prefix or part; at times under its old one too."""
    name, tensor = _any_tensor(spec, random)
    parts = name.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdecimal()]
    place = random.choice(numbers) if numbers and not one_in(random, 4) else random.randrange(len(parts))
    word = random.choice(DIGITS) if place in numbers or one_in(random, 4) else random.choice((*WORDS, *IGNORED))
    other = ".".join([*parts[:place], word, *parts[place + 1 :]])
    if not one_in(random, 3):
        spec = _changed(spec, name, None)
    return _changed(spec, other, {"shape": list(tensor.shape)})


def _with_prefix(spec: Spec, random: Random) -> Spec:
    if one_in(random, 2):
        return spec | {"prefix": random.choice(_PREFIXES)}
    name, tensor = _any_tensor(spec, random)
    return _changed(spec, random.choice(_PREFIXES) + name, {"shape": list(tensor.shape)})


def _with_part_of_another(spec: Spec, random: Random) -> Spec:
    """Some tensors of another base."""
    other = _bases()[random.choice(sorted(_bases()))]
    for name in random.sample(sorted(other), min(len(other), random.choice((1, 3)))):
        spec = _changed(spec, name, {"shape": list(other[name].shape)})
    return spec


def _with_width(spec: Spec, random: Random) -> Spec:
    """The base's width, feed-forward or number of queries made another one in every tensor."""
    tensors = _bases()[spec["base"]]
    old = random.choice((32, 96, 64, 10, 6, 12, 256))
    new = random.choice((0, 1, 3, 33, 48, 10**5, 10**6, 2**31, 10**9))
    for name, tensor in tensors.items():
        if old in tensor.shape:
            shape = [{old: new, 3 * old: 3 * new}.get(size, size) for size in tensor.shape]
            spec = _changed(spec, name, {"shape": shape, "kind": "view"})
    return spec


def _with_argument(spec: Spec, random: Random) -> Spec:
    name = random.choice(_ARGUMENTS if not one_in(random, 20) else WORDS)
    return spec | {"args": {**spec.get("args", {}), name: _odd_argument(random)}}


def _with_option(spec: Spec, random: Random) -> Spec:
    options = {
        "nheads": random.choice((*(number for number in WHOLE if number > 0), 4, 8)),
        "dilation": random.choice((True, False)),
        "class_names": ["a"] * random.choice((0, 1, 5, 91, 200)),
        "file_name": random.choice(_FILES),
        "layer": random.choice((*WHOLE, -1)),
        "module": random.choice(("*", "[", "[!]", "*" * 30 + "x", "self_attn", "*decoder*", "?" * 9, "", "[[:]]")),
    }
    name = random.choice(sorted(options))
    return spec | {"options": {**spec.get("options", {}), name: options[name]}}


_CHANGES: tuple[Callable[[Spec, Random], Spec], ...] = (
    *(_with_tensor, _with_tensor, _without_tensor, _with_other_name, _with_other_name, _with_prefix),
    *(_with_part_of_another, _with_width, _with_argument, _with_argument, _with_option),
)


def _changed(spec: Spec, name: str, tensor: Spec | None) -> Spec:
    return spec | {"tensors": {**spec.get("tensors", {}), name: tensor}}


def _any_tensor(spec: Spec, random: Random) -> tuple[str, Tensor]:
    tensors = _bases()[spec["base"]] or _bases()["attention"]
    likely = [name for name in sorted(tensors) if not name.startswith("backbone.")] or sorted(tensors)
    name = random.choice(likely if not one_in(random, 4) else sorted(tensors))
    return name, tensors[name]


def _other_tensor(shape: list[int], random: Random) -> Spec:
    sizes = (0, 1, 2, 3, 4, 5, 13, 64, 10**5, 10**6, 2**31, 2**40)
    action = random.randrange(6)
    if action == 0:
        shape = [random.choice(sizes) for _ in range(random.randrange(6))]
    elif action == 1 and shape:
        shape[random.randrange(len(shape))] = random.choice(sizes)
    elif action == 2 and shape:
        del shape[random.randrange(len(shape))]
    elif action == 3:
        shape.insert(random.randrange(len(shape) + 1), random.choice(sizes))
    found: Spec = {"shape": shape, "kind": random.choice(_KINDS)}
    if one_in(random, 3):
        found["dtype"] = random.choice(_DTYPES)
    if one_in(random, 6):
        found["values"] = [random.choice(FLOATS[:5]) for _ in range(random.choice((1, 3, 12)))]
    return found


def _odd_argument(random: Random) -> Any:
    """A value of any type that a pickle may hold."""
    kind = random.randrange(10)
    if kind == 0:
        return {"$int": hex(random.choice((-1, 1)) * random.choice(WHOLE) << random.choice((64, 20_000)))}
    if kind == 1:
        return {"$tensor": random.choice(([], [0], [1], [3], [2, 3]))}
    if kind == 2:
        return {random.choice(("$set", "$tuple")): random.choice(([], ["a"], [1, 2, 3], [0.5, 0.5, 0.5]))}
    if kind == 3:
        return {random.choice(("$self", "$bytes", "$path", "$namespace", "$complex")): "x"}
    if kind == 4:
        return {random.choice((*_PARTS, *DIGITS)): odd_value(random) for _ in range(random.randrange(1, 4))}
    if kind == 5:
        return [random.choice((*FLOATS, *WHOLE)) for _ in range(3)]
    if kind == 6:
        return random.choice(
            ("detr", "rt_detr", "table-transformer", "coco", "coco_panoptic", "resnet50", "sine", 4, 8)
        )
    return odd_value(random)


def run(data: bytes) -> None:
    """Reads the architecture in every way there is; models that fit are built."""
    case = _case(data)
    if case is None:
        return
    tensors, args, options = case
    for reading in (_as_detr, _as_original, _as_untold, _as_attention):
        with contextlib.suppress(AttnVizError):
            reading(tensors, args, options)


def _as_detr(tensors: states.State, args: Mapping[str, object], options: Spec) -> None:
    renamed = naming.canonical(tensors)
    assert len(renamed.tensors) <= len(tensors)
    names = options.get("class_names")
    config = infer(
        renamed,
        args=args,
        file_name=options.get("file_name", "checkpoint.pth"),
        nheads=options.get("nheads"),
        dilation=options.get("dilation"),
        class_names=None if names is None else tuple(names),
    )
    assert config.width % config.heads == 0
    with _unset_weights():
        build(config, renamed.tensors)


@contextlib.contextmanager
def _unset_weights() -> Iterator[None]:
    """New modules keep whatever their memory holds, as it will be overwritten: random numbers take longer than all."""
    with contextlib.ExitStack() as stack:
        for name in ("kaiming_uniform_", "xavier_uniform_", "uniform_", "normal_"):
            stack.enter_context(mock.patch.object(torch.nn.init, name, lambda tensor, *_, **__: tensor))
        yield


def _near_changes(tensors: states.State) -> states.State:
    """Those of modules with a changed tensor, or all where none was: decompositions take most of a case's time."""
    parents = {_parent(name) for name, tensor in tensors.items() if id(tensor) not in _unchanged()}
    return {name: tensor for name, tensor in tensors.items() if _parent(name) in parents} if parents else tensors


def _parent(name: str) -> str:
    return ".".join(name.split(".")[:-2])


@cache
def _unchanged() -> frozenset[int]:
    return frozenset(id(tensor) for base in _bases().values() for tensor in base.values())


def _as_original(tensors: states.State, args: Mapping[str, object], options: Spec) -> None:
    told = {name: value for name, value in options.items() if name in ("nheads", "dilation")}
    if (found := original(tensors, {**args, **told})) is not None:
        json.dumps(found.config, allow_nan=False)


def _as_untold(tensors: states.State, args: Mapping[str, object], options: Spec) -> None:
    refuse_folder_untold(Path("folder"), tensors, args)


def _as_attention(tensors: states.State, args: Mapping[str, object], options: Spec) -> None:
    path = Path(options.get("file_name", "checkpoint.pth"))
    tensors = _near_changes(tensors)
    with (
        mock.patch.object(inspection, "locate", lambda path, may_fetch: ("", path)),
        mock.patch.object(inspection, "read", lambda path: Checkpoint(path, tensors, dict(args))),
    ):
        found = inspection.inspect(
            path, module=options.get("module"), layer=options.get("layer"), nheads=options.get("nheads")
        )
    assert found.modules
    assert len(found.panels()) == len(found.rows) == len(found.modules)
    assert {weights.kind for weights in found.modules} <= set(attention.AttentionKind.__args__)  # type: ignore[attr-defined]


def _case(data: bytes) -> tuple[states.State, dict[str, object], Spec] | None:
    """The tensors, arguments and options of a case; None if it is none."""
    try:
        spec = json.loads(data)
        tensors = dict(_bases()[spec["base"]])
        for name, tensor in spec.get("tensors", {}).items():
            tensors.pop(name, None)
            if tensor is not None:
                tensors[name] = _tensor(tensor)
        args = {name: _argument(value) for name, value in spec.get("args", {}).items()}
        options = spec.get("options", {})
        assert isinstance(options, dict)
        return states.prefixed(tensors, str(spec.get("prefix", ""))), args, _checked_options(options)
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError, RuntimeError):
        return None  # RuntimeError: torch makes no such tensor


def _checked_options(options: Spec) -> Spec:
    """Those of the types that the command line gives."""
    types: dict[str, type] = {"nheads": int, "dilation": bool, "file_name": str, "layer": int, "module": str}
    assert all(type(value) is types[name] for name, value in options.items() if name in types)
    assert options.get("nheads", 1) >= 1
    assert "/" not in options.get("file_name", "x")
    return options


def _tensor(spec: Spec) -> Tensor:
    shape = [int(size) for size in spec["shape"]]
    assert all(size >= 0 for size in shape)
    dtype, kind = getattr(torch, spec.get("dtype", "float32")), spec.get("kind", "real")
    assert isinstance(dtype, torch.dtype)
    if "values" in spec and math.prod(shape) <= _MOST_REAL:
        return torch.tensor(spec["values"]).repeat(math.prod(shape))[: math.prod(shape)].reshape(shape).to(dtype)
    if kind == "meta":
        return torch.empty(shape, dtype=dtype, device="meta")
    if kind == "view" or math.prod(shape) > _MOST_REAL:
        return torch.zeros((), dtype=dtype).expand(shape)
    return _small_tensor(torch.rand(shape), kind).to(dtype) if kind != "quantized" else _quantized(shape)


def _quantized(shape: list[int]) -> Tensor:
    return torch.quantize_per_tensor(torch.zeros(shape), 0.1, 0, torch.qint8)


def _small_tensor(tensor: Tensor, kind: str) -> Tensor:
    if kind == "sparse":
        return tensor.to_sparse()
    if kind == "nested":
        return torch.nested.nested_tensor([tensor, tensor])
    if kind in ("nan", "inf"):
        return tensor.fill_(float(kind))
    return tensor.mT.contiguous().mT if kind == "transposed" and tensor.ndim > 1 else tensor


def _argument(value: Any) -> Any:
    if isinstance(value, list):
        return [_argument(part) for part in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and (mark := next(iter(value))).startswith("$"):
        return _marked(mark, value[mark])
    return {name: _argument(part) for name, part in value.items()}


def _marked(mark: str, value: Any) -> Any:
    if mark == "$self":
        itself = argparse.Namespace()
        itself.itself = itself
        return itself
    makers: dict[str, Callable[[Any], object]] = {
        "$int": lambda text: int(text, 16),
        "$tensor": torch.ones,
        "$set": set,
        "$tuple": tuple,
        "$bytes": str.encode,
        "$path": PurePosixPath,
        "$complex": lambda _: 1j,
        "$namespace": lambda name: argparse.Namespace(**{name: name}),
    }
    return makers[mark](value)
