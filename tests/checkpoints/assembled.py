"""Checkpoint files put together byte by byte, as no honest program writes them."""

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
ROOT = "archive"


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def row(*values: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(values) + b"t"


def table(*pairs: bytes) -> bytes:
    """A dictionary of keys and values by turns."""
    return b"}(" + b"".join(pairs) + b"u"


def name(module: str, of: str) -> bytes:
    return f"c{module}\n{of}\n".encode()


def call(module: str, of: str, *args: bytes) -> bytes:
    return name(module, of) + row(*args) + b"R"


def storage(key: str, items: int | bytes, kind: str = "FloatStorage") -> bytes:
    claimed = items if isinstance(items, bytes) else number(items)
    return row(text("storage"), name("torch", kind), text(key), text("cpu"), claimed) + b"Q"


def tensor(
    sizes: Sequence[int],
    strides: Sequence[int],
    *,
    items: int,
    offset: int = 0,
    key: str = "0",
    kind: str = "FloatStorage",
) -> bytes:
    return call(
        "torch._utils",
        "_rebuild_tensor_v2",
        storage(key, items, kind),
        number(offset),
        row(*map(number, sizes)),
        row(*map(number, strides)),
        b"\x89",
        call("collections", "OrderedDict"),
    )


def pickled(content: bytes) -> bytes:
    return b"\x80\x02" + content + b"."


def state(**values: bytes) -> bytes:
    """A pickle of a dictionary."""
    return pickled(table(*(part for key, value in values.items() for part in (text(key), value))))


def as_zip(
    path: Path, content: bytes, records: Mapping[str, bytes] | None = None, *, compression: int = zipfile.ZIP_STORED
) -> Path:
    """As torch.save writes them now; ``records`` are the storages' bytes by key."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{ROOT}/data.pkl", content)
        archive.writestr(f"{ROOT}/byteorder", b"little")
        for key, data in (records or {}).items():
            archive.writestr(f"{ROOT}/data/{key}", data)
        archive.writestr(f"{ROOT}/version", b"3\n")
    return path


def as_legacy(path: Path, content: bytes, storages: Sequence[tuple[str, int, bytes]] = ()) -> Path:
    """As PyTorch wrote them before 1.6; ``storages`` are (key, number of items, their bytes)."""
    facts = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"int": 4}}
    heads = b"".join(pickle.dumps(value, protocol=2) for value in (MAGIC, VERSION, facts))
    keys = pickle.dumps([key for key, _, _ in storages], protocol=2)
    data = b"".join(struct.pack("<q", items) + values for _, items, values in storages)
    path.write_bytes(heads + content + keys + data)
    return path


def as_tar(path: Path, content: bytes) -> Path:
    """As PyTorch wrote them in its first year."""
    with tarfile.open(path, "w") as archive:
        for member, data in (
            ("sys_info", pickle.dumps({"protocol_version": 1000}, protocol=2)),
            ("pickle", content),
            ("storages", pickle.dumps(0, protocol=2)),
            ("tensors", pickle.dumps(0, protocol=2)),
        ):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def as_plain(path: Path, content: bytes) -> Path:
    """As pickle.dump writes them."""
    path.write_bytes(content)
    return path


class Name:
    """Stands in a pickle for what Python would import by this name."""

    def __init__(self, module: str, of: str) -> None:
        self.module, self.of = module, of

    def __call__(self, *args: object) -> "Call":
        return Call(self, args)


class Call:
    """Stands in a pickle for a call."""

    def __init__(self, function: "Name | Call", args: tuple[object, ...]) -> None:
        self.function, self.args = function, args

    def __call__(self, *args: object) -> "Call":
        return Call(self, args)


class _Naming(pickle._Pickler):  # the one in C looks for what it names
    """Writes names as they are told, whether or not they are there."""

    def reducer_override(self, value: object) -> Any:
        return (value.function, value.args) if isinstance(value, Call) else NotImplemented

    def save_name(self: Any, value: Name) -> None:
        if self.proto >= 4:
            self.save(value.module)
            self.save(value.of)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(f"c{value.module}\n{value.of}\n".encode())

    dispatch: ClassVar[dict[type, Any]] = {**pickle._Pickler.dispatch, Name: save_name}


def pickled_by(protocol: int, content: object) -> bytes:
    """A pickle of that protocol; ``Name`` and ``Call`` in it are written out."""
    file = io.BytesIO()
    _Naming(file, protocol).dump(content)
    return file.getvalue()
