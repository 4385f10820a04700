"""Files that claim what they do not hold, or would swell; each with words that its refusal must have.

A builder takes a path and writes the file there, small where it can be.
"""

import json
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import torch

from tests.checkpoints.assembled import (
    ROOT,
    as_legacy,
    as_plain,
    as_zip,
    call,
    name,
    number,
    pickled,
    row,
    state,
    storage,
    table,
    tensor,
    text,
)

SIX = struct.pack("<6f", *range(6))


class Bomb(NamedTuple):
    build: Callable[[Path], object]
    words: str


def in_zip(content: bytes, records: Mapping[str, bytes] | None = None) -> Callable[[Path], object]:
    return lambda path: as_zip(path, content, {"0": SIX} if records is None else records)


def in_legacy(content: bytes, *storages: tuple[str, int, bytes]) -> Callable[[Path], object]:
    return lambda path: as_legacy(path, content, storages or (("0", 6, SIX),))


def claims() -> dict[str, Bomb]:
    """Tensors and storages that are not what they say."""
    wild: dict[str, tuple[bytes, str]] = {
        "more values than its storage": (tensor([1_000_000], [1], items=6), r"claims 1,000,000 values, and .* holds 6"),
        "one value too many": (tensor([7], [1], items=6), "claims 7 values"),
        "an offset outside": (tensor([2, 2], [2, 1], items=6, offset=3), "claims 7 values"),
        "strides outside": (tensor([2, 2], [5, 1], items=6), "claims 7 values"),
        "a negative stride": (tensor([2, 3], [-3, 1], items=6), "-3, which is no number of things"),
        "a negative size": (tensor([-2, 3], [3, 1], items=6), "-2, which is no number"),
        "a negative offset": (tensor([2], [1], items=6, offset=-4), "-4, which is no number"),
        "a stride of 0 that makes a billion": (tensor([1 << 30], [0], items=6), "its tensors come to 4,096 MB"),
        "sizes whose product overflows": (
            tensor([1 << 61, 8], [0, 0], items=6),
            "its tensors come to 70,368,744,177,664",
        ),
        "a size beyond all numbers": (tensor([1 << 70], [1], items=6), "no number of things"),
        "sizes without strides": (tensor([2, 3], [1], items=6), "2 sizes and 1 strides"),
        "a hundred sizes": (tensor([1] * 100, [1] * 100, items=6), "no row of numbers"),
        "no storage": (call("torch._utils", "_rebuild_tensor_v2", b"N", b"N", row(), row()), "not made of a storage"),
        "no arguments": (call("torch._utils", "_rebuild_tensor_v2"), "not made of a storage"),
        "a storage of no numbers": (tensor([1], [1], items=6, kind="QInt8Storage"), "no kind of plain number"),
        "a number of items that is a text": (storage("0", text("6")), "no number of things"),
        "a number of items that is true": (storage("0", b"\x88"), "no number of things"),
        "one storage in two sizes": (row(storage("0", 6), storage("0", 3)), "claimed in two sizes"),
        "another way to name a storage": (row(text("module"), text("x")) + b"Q", "not named as a storage"),
        "a text in place of a storage": (text("0") + b"Q", "not named as a storage"),
    }
    bombs = {f"{what}, zip": Bomb(in_zip(state(a=content)), words) for what, (content, words) in wild.items()}
    bombs |= {f"{what}, legacy": Bomb(in_legacy(state(a=content)), words) for what, (content, words) in wild.items()}
    six = state(a=tensor([6], [1], items=6))
    many = state(a=tensor([1 << 28], [1], items=1 << 28))
    vast = state(a=tensor([1 << 38], [1], items=1 << 38))
    elsewhere = tensor([3], [1], items=3, key="../version", kind="ByteStorage")
    bombs |= {
        "a record shorter than its storage": Bomb(in_zip(many), r"has 24 bytes, and its tensors claim 1,073,741,824"),
        "a record longer than its storage": Bomb(in_zip(six, {"0": SIX + SIX}), "has 48 bytes, .* claim 24"),
        "a storage without a record": Bomb(in_zip(six, {"1": SIX}), "storage 0 is not in it"),
        "a storage that leads elsewhere": Bomb(in_zip(state(a=elsewhere)), "is not in it"),
        "a legacy storage of another size": Bomb(in_legacy(six, ("0", 60, SIX)), "holds 60 items, .* claim 6"),
        "a legacy storage of negative size": Bomb(in_legacy(six, ("0", -6, SIX)), "holds -6 items"),
        "a legacy storage that is cut off": Bomb(in_legacy(six, ("0", 6, SIX[:8])), "ends within storage 0"),
        "a legacy storage that never comes": Bomb(lambda path: as_legacy(path, six), "not those that its tensors name"),
        "a legacy storage that nobody names": Bomb(in_legacy(six, ("0", 6, SIX), ("1", 6, SIX)), "not those that"),
        "a terabyte in a legacy file": Bomb(in_legacy(vast, ("0", 1 << 38, SIX)), "ends within storage"),
        "two legacy storages whose keys are alike": Bomb(
            in_legacy(state(a=tensor([6], [1], items=6), b=storage_by(number(0)))), "key is 0; expected a text"
        ),
        "a storage whose key is a thing": Bomb(
            in_zip(state(a=storage_by(call("builtins", "complex", number(1), number(0))))), "key is a Named"
        ),
        "a part that is told in two ways": Bomb(in_legacy(state(a=_part(0, 3), b=_part(1, 3))), "told in two ways"),
        "a part outside its storage": Bomb(in_legacy(state(a=_part(4, 3))), "ends at item 7 of a storage of 6"),
        "tensors that share one storage a thousand times": Bomb(_sharing, "its tensors come to"),
    }
    return bombs


def storage_by(key: bytes) -> bytes:
    return row(text("storage"), name("torch", "FloatStorage"), key, text("cpu"), number(6)) + b"Q"


def _part(first: int, items: int) -> bytes:
    view = row(text("v"), number(first), number(items))
    return row(text("storage"), name("torch", "FloatStorage"), text("0"), text("cpu"), number(6), view) + b"Q"


def _sharing(path: Path) -> None:
    one = tensor([1 << 20], [1], items=1 << 20)
    content = table(*(part for index in range(1000) for part in (text(str(index)), one)))
    as_zip(path, pickled(content), {"0": bytes(4 << 20)})


def swelling() -> dict[str, Bomb]:
    """Pickles that would take the memory, the stack or the time."""
    steps, endless = "more than 1,000,000 steps", "keys that Python takes for ever to tell apart"
    doubling = b"".join(b"q\x01h\x01\x86" for _ in range(45))
    pairs = [row(number(one), number(7)) for one in range(2_000)]
    encoded = b"c_codecs\nencode\nh\x00" + text("latin1") + b"\x86R0"
    deep = b")" + b"\x85" * 200_000
    clashing = b"".join(number(value * ((1 << 61) - 1)) + b"N" for value in range(1, 20_000))
    whole = {
        "a byte array by its size": (
            call("builtins", "bytearray", number(10**10)),
            "builtins.bytearray in another way",
        ),
        "a tensor by its size": (call("torch", "Tensor", number(10**10)), "torch.Tensor in another way"),
        "a million keys": (
            table(*(text(f"{index:07}") + b"N" for index in range(1_000_000))),
            "more than 1,000,000 steps",
        ),
        "a million sets": (b"(" + b"\x8f" * 1_000_000 + b"l", steps),
        "a tuple two hundred thousand deep": (b"}" + deep + b"Ns", "nested deeper than 50"),
        "keys that all want one place": (b"}(" + clashing + b"u", endless),
        "tuples as keys, each in another twice": (b"}K\x01" + doubling + b"Ns", endless),
        "two hundred thousand tuples as keys": (b"}(" + b"".join(pair + b"N" for pair in pairs) + b"u", endless),
        "tuples in a set": (call("builtins", "set", b"](" + b"".join(pairs) + b"e"), endless),
        "a set of a tensor": (call("builtins", "set", tensor([6], [1], items=6)), "builtins.set in another way"),
        "a byte array of a tensor": (
            call("builtins", "bytearray", tensor([], [], items=6)),
            "bytearray in another way",
        ),
        "a storage named by tuples in tuples": (storage_by(b"K\x01" + doubling), "key is a _Row; expected a text"),
        "a module named by tuples in tuples": (b"K\x01" + doubling + text("x") + b"\x93", "asks for what has no name"),
        "a text that is copied a hundred times": (text("x" * (1 << 20)) + b"q\x00" + encoded * 100, "again and again"),
        "a name of four million letters that no line can hold": (name("os", "\x1b" * (4 << 20)), "asks Python for os"),
        "a text longer than the file": (b"X\xff\xff\xff\x7fabc", "cut off or damaged"),
        "bytes longer than all memory": (b"\x8e" + b"\xff" * 7 + b"\x7fabc", "cut off or damaged"),
        "an array longer than all memory": (b"\x96" + b"\xff" * 7 + b"\x7fabc", "cut off or damaged"),
        "a place in the memo beyond all memory": (
            b"Nr\xff\xff\xff\xff",
            "NoneType|not those that|torch.save",
        ),
        "a text of 80 MB": (b"X" + struct.pack("<I", 80 << 20) + bytes(80 << 20), "of pickle beside the tensors"),
        "what is not on the stack": (b"0", "takes more from the stack than there is"),
        "a mark that is not there": (b"t", "cut off or damaged"),
        "a memo that is empty": (b"h\x07", "cut off or damaged"),
        "a call of a text": (text("os.system") + row() + b"R", "calls what is no function"),
        "buffers from elsewhere": (b"\x97", "refers to what is not in the file"),
    }
    bombs = {}
    for what, (content, words) in whole.items():
        bombs[f"{what}, zip"] = Bomb(in_zip(pickled(content), {}), words)
        if words == steps:  # seconds each
            continue
        bombs[f"{what}, legacy"] = Bomb(in_legacy(pickled(content)), words)
        bombs[f"{what}, plain"] = Bomb(partial(as_plain, content=pickled(content)), words)
    return bombs


def archives() -> dict[str, Bomb]:
    """Zip archives that can be read in two ways, or swell."""
    return {
        "zeros that unpack a thousandfold": Bomb(_zeros, "would unpack to 1,0.. MB"),
        "a pickle that unpacks a thousandfold": Bomb(_pickle_of_zeros, "would unpack to|of pickle beside the tensors"),
        "an entry twice": Bomb(_twice, r"data\.pkl is there twice"),
        "an entry twice, in other letters": Bomb(_named(f"{ROOT}/DATA.PKL"), r"DATA\.PKL is there twice"),
        "two archives, and an end that means the first": Bomb(_one_behind_another, "list of entries is in two places"),
        "two pickles": Bomb(_named(f"{ROOT}/more/data.pkl"), "not in one folder with one data.pkl"),
        "an entry in another folder": Bomb(_named("other/x"), "not in one folder"),
        "an entry above": Bomb(_named(f"{ROOT}/../../evil"), "leads out of the archive"),
        "an entry at the root": Bomb(_named("/etc/evil"), "leads out of the archive"),
        "an entry on another drive": Bomb(_named("C:evil"), "leads out of the archive"),
        "an entry with backslashes": Bomb(_named("..\\evil"), "leads out of the archive"),
        "entries that overlap": Bomb(_overlapping, "overlaps"),
        "an entry over the list of entries": Bomb(_over_the_list, "two sizes|overlaps|cut off"),
        "an entry with two names": Bomb(_renamed, "another name beside its data"),
        "an entry with two sizes": Bomb(_resized, "has two sizes|overlaps"),
        "an encrypted entry": Bomb(_encrypted, "encrypted"),
        "another compression": Bomb(_otherwise_compressed, "compressed in another way"),
        "a list of entries of 4 GB": Bomb(_long_list, "cut off or damaged|lists"),
        "four hundred thousand entries": Bomb(_many_entries, r"lists \d+ MB of entries"),
    }


def _zeros(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{ROOT}/data.pkl", state(a=tensor([1 << 28], [1], items=1 << 28)))
        with archive.open(f"{ROOT}/data/0", "w") as record:
            for _ in range(1 << 10):
                record.write(bytes(1 << 20))


def _pickle_of_zeros(path: Path) -> None:
    as_zip(path, bytes(100 << 20), compression=zipfile.ZIP_DEFLATED)


def _otherwise_compressed(path: Path) -> None:
    as_zip(path, state(a=tensor([6], [1], items=6)), {"0": SIX}, compression=zipfile.ZIP_LZMA)


def _twice(path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile's own, about exactly this
        for _ in range(2):
            archive.writestr(f"{ROOT}/data.pkl", state(a=tensor([6], [1], items=6)))
        archive.writestr(f"{ROOT}/data/0", SIX)


def _one_behind_another(path: Path) -> None:
    first = as_zip(path, state(a=tensor([6], [1], items=6)), {"0": SIX}).read_bytes()
    second = as_zip(path, state(b=tensor([6], [1], items=6)), {"0": SIX}).read_bytes()
    path.write_bytes(first + second)


def _named(entry: str) -> Callable[[Path], object]:
    def build(path: Path) -> None:
        as_zip(path, state(a=tensor([6], [1], items=6)), {"0": SIX})
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(entry, b"x")

    return build


def _directory(path: Path) -> tuple[bytearray, int]:
    """The file's bytes, and where the list's entry of ``data/0`` begins."""
    as_zip(path, state(a=tensor([6], [1], items=6)), {"0": SIX})
    content = bytearray(path.read_bytes())
    return content, content.rindex(f"{ROOT}/data/0".encode()) - 46


def _overlapping(path: Path) -> None:
    content, entry = _directory(path)
    first = content.index(b"PK\x01\x02")
    content[entry + 42 : entry + 46] = content[first + 42 : first + 46]
    path.write_bytes(content)


def _over_the_list(path: Path) -> None:
    content, _ = _directory(path)
    last = content.rindex(f"{ROOT}/version".encode()) - 46
    content[last + 20 : last + 28] = struct.pack("<II", 1000, 1000)
    path.write_bytes(content)


def _renamed(path: Path) -> None:
    content, entry = _directory(path)
    content[entry + 46 + 13] = ord("7")
    path.write_bytes(content)


def _resized(path: Path) -> None:
    content, entry = _directory(path)
    content[entry + 24 : entry + 28] = struct.pack("<I", 1 << 30)
    path.write_bytes(content)


def _encrypted(path: Path) -> None:
    content, entry = _directory(path)
    content[entry + 8] |= 1
    path.write_bytes(content)


def _long_list(path: Path) -> None:
    content, _ = _directory(path)
    end = content.rindex(b"PK\x05\x06")
    content[end + 12 : end + 16] = b"\xff\xff\xff\xf0"
    path.write_bytes(content)


def _many_entries(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{ROOT}/data.pkl", state(a=tensor([6], [1], items=6)))
        for index in range(400_000):
            archive.writestr(zipfile.ZipInfo(f"{ROOT}/data/{index}"), b"")


def tensor_files() -> dict[str, Bomb]:
    """Safetensors files whose list lies."""
    good = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}

    def listed(tensors: object, data: bytes = SIX, length: int | None = None) -> Callable[[Path], object]:
        def build(path: Path) -> None:
            header = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
            path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)

        return build

    def with_a(**changes: object) -> Callable[[Path], object]:
        return listed({"a": good["a"] | changes})

    broken = "cut off or damaged"
    half = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
    return {
        "a list longer than the file": Bomb(listed(good, length=1 << 20), broken),
        "a list of 64 MB": Bomb(listed(good, length=1 << 26), "its list of tensors would take 64 MB"),
        "a list beyond all files": Bomb(
            listed(good, length=(1 << 63) - 1), "list of tensors would take|unknown format"
        ),
        "a list of no length": Bomb(listed(good, length=0), broken),
        "a tensor longer than the file": Bomb(with_a(shape=[1 << 30], data_offsets=[0, 1 << 32]), broken),
        "a tensor larger than its bytes": Bomb(with_a(shape=[1 << 30]), broken),
        "a tensor smaller than its bytes": Bomb(with_a(shape=[1]), broken),
        "sizes whose product overflows": Bomb(with_a(shape=[1 << 62, 1 << 62]), broken),
        "a negative size": Bomb(with_a(shape=[-2, -3]), broken),
        "offsets that run backwards": Bomb(with_a(data_offsets=[24, 0]), broken),
        "tensors that overlap": Bomb(listed({"a": good["a"], "b": half}), broken),
        "a hole between tensors": Bomb(listed({"a": half, "b": half | {"data_offsets": [16, 28]}}, bytes(28)), broken),
        "bytes that nobody names": Bomb(listed(good, SIX + bytes(100)), broken),
        "an unknown kind of number": Bomb(with_a(dtype="F31"), broken),
        "no offsets": Bomb(listed({"a": {"dtype": "F32", "shape": [1]}}), broken),
        "a list that is no JSON": Bomb(listed(b"{" + b"[" * 1000), broken),
        "a list a hundred thousand deep": Bomb(listed(b'{"__metadata__":' + b"[" * 100_000), broken),
        "no tensors": Bomb(listed({}, b""), "holds no tensors"),
        "a hundred thousand tensors and one": Bomb(listed(_empty(100_001), b""), "holds 100,001 tensors"),
        "three hundred thousand tensors": Bomb(listed(_empty(300_000), b""), "list of tensors would take"),
    }


def _empty(count: int) -> dict[str, object]:
    none = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return {str(number): none for number in range(count)}


def containing_itself() -> dict[str, Bomb]:
    """Recursive structures."""
    loop: dict[str, object] = {}
    loop["model"] = loop
    row_of_itself: list[object] = []
    row_of_itself.append(row_of_itself)

    def saved(content: object, is_zip: bool) -> Callable[[Path], object]:
        return lambda path: torch.save(content, path, _use_new_zipfile_serialization=is_zip)

    found: dict[str, Bomb] = {}
    for form, is_zip in (("zip", True), ("legacy", False)):
        found[f"a dictionary in itself, {form}"] = Bomb(saved(loop, is_zip), "no tensors found; it holds model")
        found[f"a list in itself, {form}"] = Bomb(saved(row_of_itself, is_zip), "expected a dictionary of tensors")
        both = {"args": loop, "model": {"x": row_of_itself}}
        found[f"both as arguments, {form}"] = Bomb(saved(both, is_zip), "no tensors")
    return found


@cache
def every_bomb() -> dict[str, Bomb]:
    return claims() | swelling() | archives() | tensor_files() | containing_itself()
