"""Pickles changed opcode by opcode: another argument, an opcode more or less, another object asked for."""

import pickle
import pickletools
import struct
from random import Random

from tests.fuzz.noise import WHOLE, changed_bytes, one_in

GLOBALS = (
    "tests.fuzz.trap spring",
    "builtins getattr",
    "builtins set",
    "builtins complex",
    "builtins bytearray",
    "os system",
    "collections OrderedDict",
    "collections Counter",
    "collections defaultdict",
    "argparse Namespace",
    "pathlib PosixPath",
    "pathlib WindowsPath",
    "pathlib._local PurePath",
    "_codecs encode",
    "torch Size",
    "torch Tensor",
    "torch device",
    "torch FloatStorage",
    "torch.storage UntypedStorage",
    "torch.nn.parameter Parameter",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_sparse_tensor",
    "torch._utils _rebuild_meta_tensor_no_storage",
    "torch._utils _rebuild_nested_tensor",
    "torch._utils _rebuild_qtensor",
    "torch._utils _rebuild_wrapper_subclass",
    "torch._utils _rebuild_device_tensor_from_numpy",
    "torch._tensor _rebuild_from_type_v2",
    "torch.serialization _get_layout",
    "torch.nn.modules.linear Linear",
    "numpy._core.multiarray scalar",
    "numpy dtype",
)
_INSERTED = (
    b"0",
    b"1",
    b"2",
    b"(",
    b")",
    b"]",
    b"}",
    b"N",
    b"R",
    b"b",
    b"s",
    b"u",
    b"e",
    b"t",
    b"\x81",
    b"\x85",
    b"\x86",
    b"\x87",
    b"\x88",
    b"a",
    b"Q",
    b".",
    b"\x93",
    b"\x94",
    b"\x92",
    b"\x82\x01",
)


def changed_pickle(data: bytes, random: Random) -> bytes:
    """The pickle with one to three of its opcodes changed; by bytes where it is no whole pickle."""
    for _ in range(random.choice((1, 1, 2, 3))):
        try:
            places = [place for _, _, place in pickletools.genops(data) if place is not None]
        except Exception:  # pickletools trips over anything in a damaged pickle
            return changed_bytes(data, random)
        data = _changed_once(data, places, random)
    return data


def nested(random: Random) -> bytes:
    """A pickle that nests, repeats or refers to itself more than any checkpoint."""
    kind, depth = random.randrange(6), random.choice((10, 1000, 30_000))
    if kind == 0:
        return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."
    if kind == 1:
        return b"\x80\x02" + b"}X\x01\x00\x00\x00k" * depth + b"N" + b"s" * depth + b"."
    if kind == 2:
        return b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s."
    if kind == 3:
        return b"\x80\x02cargparse\nNamespace\nq\x00)\x81q\x01}X\x04\x00\x00\x00selfh\x01sb."
    if kind == 4:
        return b"\x80\x02" + b"(" * depth + b"t" * depth + b"."
    return pickle.dumps({"epoch": random.choice(WHOLE) << random.choice((0, 64, 20_000))}, protocol=2)


def _changed_once(data: bytes, places: list[int], random: Random) -> bytes:
    index = random.randrange(len(places))
    start = places[index]
    end = places[index + 1] if index + 1 < len(places) else len(data)
    before, opcode, after = data[:start], data[start:end], data[end:]
    action = random.randrange(7)
    if action == 0:
        return before + after
    if action == 1:
        return before + opcode * 2 + after
    if action == 2:
        return before + random.choice(_INSERTED) + opcode + after
    if action == 3:
        return before + _global(random) + after
    if action == 4 and index:
        return data[: places[index - 1]] + opcode + data[places[index - 1] : start] + after
    return before + _with_other_argument(opcode, random) + after


def _global(random: Random) -> bytes:
    module, name = random.choice(GLOBALS).split()
    found = f"c{module}\n{name}\n".encode()
    return found if one_in(random, 2) else found + random.choice((b")R", b"N\x85R", b"(K\x01K\x01tR", b")\x81"))


def _with_other_argument(opcode: bytes, random: Random) -> bytes:
    name, argument = opcode[:1], opcode[1:]
    number = random.choice(WHOLE)
    if name in (b"K", b"M", b"J"):  # BININT1, BININT2, BININT
        return b"J" + struct.pack("<I", number % 2**32)
    if name in (b"q", b"r", b"h", b"j") and len(argument) in (1, 4):  # memo
        return name + (number % (1 << 8 * len(argument))).to_bytes(len(argument), "little")
    if name in (b"X", b"\x8c", b"U", b"T"):  # texts
        text = random.choice((b"", b"cpu", b"cuda:9", b"meta", b"storage", b"weight", b"0", b"1", b"99", b"\xff\xfe"))
        return b"X" + struct.pack("<I", len(text)) + text
    if name == b"c":
        return _global(random)
    return changed_bytes(opcode, random) or name
