"""Zip archives and safetensors files changed field by field, and put together again so that readers get further in."""

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from random import Random

from tests.fuzz.noise import WHOLE, changed_bytes, changed_json, odd_value, one_in
from tests.fuzz.pickles import changed_pickle, nested

_NAMES = (
    "data.pkl",
    "x/data.pkl",
    "constants.pkl",
    "x/constants.pkl",
    "../data.pkl",
    "byteorder",
    "version",
    "x/",
    "é",
)
_FIELDS = (  # (signature, offsets and widths of its fields)
    (b"PK\x05\x06", ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))),
    (b"PK\x06\x06", ((4, 8), (12, 2), (24, 8), (32, 8), (40, 8), (48, 8))),
    (b"PK\x06\x07", ((4, 4), (8, 8), (16, 4))),
    (b"PK\x01\x02", ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4))),
    (b"PK\x03\x04", ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))),
)


def changed_zip(data: bytes, random: Random) -> bytes:
    """A field of its directory changed, or its members and their content."""
    if one_in(random, 3):
        return _with_other_field(data, random)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    except Exception:  # zipfile trips over anything in a damaged archive
        return changed_bytes(data, random)
    return rezipped(_changed_members(members, random), random)


def rezipped(members: list[tuple[str, bytes]], random: Random) -> bytes:
    """Members in an archive again, as torch lays them out, at times compressed."""
    kind = zipfile.ZIP_DEFLATED if one_in(random, 6) else zipfile.ZIP_STORED
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", kind) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def _changed_members(members: list[tuple[str, bytes]], random: Random) -> list[tuple[str, bytes]]:
    if not members:
        return members
    index = random.randrange(len(members))
    name, content = members[index]
    others = members[:index] + members[index + 1 :]
    action = random.randrange(10)
    if action == 0:
        return others
    if action == 1:
        return [*members, (name, content)]
    if action == 2:
        return [*others, (random.choice(_NAMES), content)]
    if action == 3:
        return [*others, (name, changed_bytes(content, random))]
    if action == 4:
        return [*members, (random.choice(_NAMES), content)]
    return [
        (name, _changed_content(content, random) if name.endswith("data.pkl") else content) for name, content in members
    ]


def _changed_content(content: bytes, random: Random) -> bytes:
    return nested(random) if one_in(random, 30) else changed_pickle(content, random)


def _with_other_field(data: bytes, random: Random) -> bytes:
    signature, fields = random.choice(_FIELDS)
    places = [place for place in range(len(data)) if data.startswith(signature, place)] if signature in data else []
    if not places:
        return changed_bytes(data, random)
    offset, width = random.choice(fields)
    start = random.choice(places) + offset
    old = int.from_bytes(data[start : start + width], "little")
    number = random.choice((*WHOLE, old + 1, old - 1, old * 2, len(data))) % (1 << 8 * width)
    return data[:start] + number.to_bytes(width, "little") + data[start + width :]


def changed_safetensors(data: bytes, random: Random) -> bytes:
    """Its header's JSON changed, its length, or the bytes behind it."""
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    if one_in(random, 8):
        return (random.choice((*WHOLE, size + 1, size - 1)) % 2**64).to_bytes(8, "little") + data[8:]
    if one_in(random, 8):
        return changed_bytes(data, random)
    try:
        value = json.loads(header)
    except ValueError:
        return changed_bytes(data, random)
    for _ in range(random.choice((1, 1, 2))):
        value = random.choice(_HEADERS)(value, random)
    text = json.dumps(value).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + body


def _with_other_entry(value: object, random: Random) -> object:
    """One tensor's dtype, shape or offsets changed."""
    entries = [name for name in value if name != "__metadata__"] if isinstance(value, dict) else []
    if not isinstance(value, dict) or not entries or not isinstance(value[entries[0]], dict):
        return odd_value(random)
    name = random.choice(entries)
    fields: dict[str, object] = {
        "dtype": random.choice(("F32", "F16", "BF16", "I64", "BOOL", "F8_E4M3", "F4", "C64", "U64", "x", 1)),
        "shape": [random.choice(WHOLE) for _ in range(random.randrange(4))],
        "data_offsets": sorted(random.choice(WHOLE) for _ in range(2)),
    }
    field = random.choice(sorted(fields))
    entry = value[name] if isinstance(value[name], dict) else {}
    return {**value, name: {**entry, field: fields[field]}}


def _with_other_metadata(value: object, random: Random) -> object:
    texts = ("{}", "[]", "{", '{"nheads": NaN}', '{"model_type": "detr", "id2label": {"9' + "9" * 4400 + '": "x"}}')
    found = {"config": random.choice(texts), "format": "pt"} if one_in(random, 2) else odd_value(random)
    return {**value, "__metadata__": found} if isinstance(value, dict) else value


_HEADERS: tuple[Callable[[object, Random], object], ...] = (_with_other_entry, _with_other_metadata, changed_json)
