"""Odd values, and changes to bytes, texts and JSON that keep or break their structure."""

import json
from random import Random
from typing import Any

WHOLE = (
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    16,
    255,
    256,
    4096,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32,
    2**53,
    2**63 - 1,
    2**63,
    2**64,
)
DIGITS = (
    "0",
    "00",
    "007",
    "10",
    "99",
    "4096",
    "999999999999",
    "٣",
    "１２",
    "²",
    "-1",
    "+1",
    "1e3",
    "9" * 19,
    "9" * 5000,
)
WORDS = (
    "",
    " ",
    "x",
    "weight",
    "bias",
    "model",
    "é",
    "\udc80",
    "\u2028",
    "\0",
    "a\nb",
    "..",
    "\x1b[31m",
    "🦊",
    "%s",
    "{0}",
    "x" * 300,
)
FLOATS = (0.0, -0.0, 0.5, 1.0, 1.5, -1e-300, 1e308, float("inf"), float("-inf"), float("nan"))


def one_in(random: Random, number: int) -> bool:
    """Seldom true."""
    return random.randrange(number) == 0


def odd_value(random: Random, depth: int = 2) -> Any:
    """A JSON value of any type."""
    kinds = 7 if depth else 5
    kind = random.randrange(kinds)
    if kind == 0:
        return random.choice(WHOLE)
    if kind == 1:
        return random.choice(FLOATS)
    if kind == 2:
        return random.choice(WORDS + DIGITS)
    if kind == 3:
        return random.choice((None, True, False))
    if kind == 4:
        return random.choice(([], {}, "", 0))
    if kind == 5:
        return [odd_value(random, depth - 1) for _ in range(random.randrange(4))]
    return {random.choice(WORDS + DIGITS): odd_value(random, depth - 1) for _ in range(random.randrange(4))}


def changed_json(value: Any, random: Random) -> Any:
    """The same value with one part of it changed, dropped, doubled or replaced."""
    if isinstance(value, dict) and value and not one_in(random, 8):
        key = random.choice(sorted(value, key=str))
        rest = {name: part for name, part in value.items() if name != key}
        action = random.randrange(8)
        if action == 0:
            return rest
        if action == 1:
            return {**rest, random.choice(WORDS + DIGITS): value[key]}
        return {**value, key: changed_json(value[key], random)}
    if isinstance(value, list) and value and not one_in(random, 8):
        place = random.randrange(len(value))
        action = random.randrange(8)
        if action == 0:
            return value[:place] + value[place + 1 :]
        if action == 1:
            return value[: place + 1] + value[place:]
        return [*value[:place], changed_json(value[place], random), *value[place + 1 :]]
    return odd_value(random)


def changed_json_text(text: bytes, random: Random) -> bytes:
    """A JSON text with its value changed; one that does not parse is changed by bytes."""
    if one_in(random, 40):
        return text.replace(b"}", b', "x": ' + b"[" * 100_000 + b"}", 1)
    try:
        value = changed_json(json.loads(text), random)
    except (ValueError, RecursionError):
        return changed_bytes(text, random)
    return json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def changed_bytes(data: bytes, random: Random) -> bytes:
    """A few bytes flipped, put in, cut out, doubled or overwritten by a number; or the end cut off."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        data = _changed_once(data, random)
    return data


def _changed_once(data: bytes, random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    size = min(random.choice((1, 1, 2, 4, 8, 64)), len(data) - place)
    action = random.randrange(7)
    if action == 0 and data:
        flipped = data[place % len(data)] ^ (1 << random.randrange(8))
        return data[: place % len(data)] + bytes([flipped]) + data[place % len(data) + 1 :]
    if action == 1:
        return data[:place] + random.randbytes(random.choice((1, 2, 4, 16))) + data[place:]
    if action == 2:
        return data[:place] + data[place + size :]
    if action == 3:
        return data[: place + size] + data[place : place + size] + data[place + size :]
    if action == 4:
        width = random.choice((1, 2, 4, 8))
        number = (random.choice(WHOLE) % (1 << 8 * width)).to_bytes(width, random.choice(("little", "big")))
        return data[:place] + number + data[place + width :]
    if action == 5:
        return data[: len(data) * random.randrange(64) // 64]
    return data[:place] + bytes(size) + data[place + size :]
