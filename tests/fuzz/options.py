"""Target: argument lists of every command, up to the point where a model would be loaded or a figure drawn."""

import contextlib
import io
import json
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import typer
from PIL import Image

from detr_attnviz.cli.app import app
from detr_attnviz.errors import AttnVizError
from tests.fuzz.answers import must
from tests.fuzz.noise import DIGITS, WHOLE, WORDS, changed_bytes, one_in

_COMMANDS = (
    *("render", "batch", "explore", "evaluate", "inspect-weights", "verify", "checkpoints", "checkpoints download"),
    *("figure objects", "figure points", "figure grid", "figure evolution", "figure methods", "figure weights"),
)
_PICTURES = ("photos", "photos/a.png", "photos/b.png", "@list.txt", "photos/*.png", "**", "none.png", "@none", "[", "-")
_CHECKPOINTS = ("demo", "detr-r50", "owner/name", "weights.pth", "photos", "none.pth", "", ".", "a" * 300)
_TEXTS = (
    *("raw", "relevance", "rollout", "decompose", "raw,rollout", "raw:max@3", "raw:3@4+5", "raw@all", "value-norm:0"),
    *("cross", "encoder", "decoder-self", "none", "from", "to", "all", "mean", "max", "entropy-weighted", "0", "-1"),
    *("3,5", "1,", ",", "320,240", "-1,-1", "nan,inf", "1e999,1", "1,2,3", "0.5", "1/4", "4/4", "5/4", "0/0", "1/٣"),
    *("overlay", "contour", "points", "arrays", "overlay,arrays", "each", "shared", "viridis", "YlOrRd", "bicubic"),
    *("column", "page", "85", "85mm", "nan", "inf", "1e400", "0", "5,20,50", "100", "-0", "auto", "model", "ema"),
    *("cpu", "cuda:99", "mps", "fp32", "bf16", "classes.txt", "classes.json", "broken.json", "photos", "content"),
    *("a" * 300, "a" * 300 + ".pdf", "a" * 300 + "/b.html"),
    *("x.html", "x.pdf", "x.svg", "x.png", "x.json", "x.csv", "x", "x.npz", "x.safetensors", "photos/a.png", "."),
)
_IS_OUTSIDE = re.compile(r"\.\.|~|(?:^|[^\w*.])/|^-\w*/")
"""Paths that could leave the folder made for the case; such arguments are left out of it."""


class ReachedError(Exception):
    """The point where a model would be loaded."""


def seeds() -> tuple[bytes, ...]:
    """Every command as somebody would call it."""
    return tuple(json.dumps([*command.split(), *_inputs(command)]).encode() for command in _COMMANDS)


def _inputs(command: str) -> list[str]:
    usual = {
        "inspect-weights": ["demo"],
        "figure weights": ["demo"],
        "checkpoints": [],
        "checkpoints download": ["demo"],
    }
    return usual.get(command, ["photos/a.png", *(["-o", "maps"] if command == "batch" else [])])


def generate(random: Random) -> bytes:
    """A command with some of its options and values of many kinds."""
    command = random.choice(_COMMANDS)
    arguments = _inputs(command) if not one_in(random, 4) else random.sample(_PICTURES, random.choice((0, 1, 2)))
    for _ in range(random.choice((0, 1, 1, 2, 3, 6))):
        arguments += _option(random, command)
    if one_in(random, 6):
        random.shuffle(arguments)
    return json.dumps([*command.split(), *arguments]).encode()


def mutate(data: bytes, random: Random) -> bytes:
    """An argument more, less or another one."""
    try:
        arguments = json.loads(data)
        place = random.randrange(len(arguments))
        command = " ".join(arguments[: 2 if arguments[0] == "figure" else 1])
        change = random.choice(([], _option(random, command), [_value(random)]))
        return json.dumps(arguments[:place] + change + arguments[place + random.randrange(2) :]).encode()
    except (ValueError, TypeError, IndexError, AttributeError, KeyError):
        return changed_bytes(data, random)


def _option(random: Random, command: str) -> list[str]:
    options = _options().get(command, ()) if not one_in(random, 20) else ()
    if not options:
        return [random.choice(("--nothing", "--", "-", "-h", "-o", "-c", "--layer", "--query", "-oc", "---", "--=x"))]
    name, is_flag, choices = random.choice(options)
    if is_flag and not one_in(random, 20):
        return [name]
    value = random.choice(choices) if choices and not one_in(random, 4) else _fitting(name, random)
    return [f"{name}={value}"] if name.startswith("--") and one_in(random, 4) else [name, value]


def _fitting(name: str, random: Random) -> str:
    """A value that the option may expect, or any other."""
    likely: dict[str, tuple[str, ...]] = {
        "--point": ("320,240", "1,1", "nan,1", "1e999,0", "-1,-2"),
        "--checkpoint": _CHECKPOINTS,
        "--classes": ("classes.txt", "classes.json", "broken.json", "photos"),
        "--layer": ("0", "5", "-1", "3,5", "all", "9" * 5000, "٣", "1,", "1_000"),
        "--shard": ("1/4", "4/4", "0/4", "5/4", "1/", "9" * 5000 + "/4", "٣/4"),
    }
    return random.choice(likely[name]) if name in likely and not one_in(random, 3) else _value(random)


def _value(random: Random) -> str:
    pools = (_TEXTS, _TEXTS, DIGITS, tuple(map(str, WHOLE)), WORDS, _PICTURES, _CHECKPOINTS)
    return random.choice(random.choice(pools))


@cache
def _options() -> dict[str, tuple[tuple[str, bool, tuple[str, ...]], ...]]:
    """Every command's options: name, whether it is a flag, and the words that it takes."""
    root = _command()
    found = {}
    for command in _COMMANDS:
        node: Any = root
        for part in command.split():
            node = node.commands[part]
        found[command] = tuple(
            (name, bool(option.is_flag), _words(option))
            for option in node.params
            if option.param_type_name == "option"
            for name in (*option.opts, *option.secondary_opts)
        )
    return found


@cache
def _command() -> Any:
    """The app as typer makes it anew at every call, which takes most of a case's time."""
    return typer.main.get_command(app)


def _words(option: Any) -> tuple[str, ...]:
    """What the option's help says that it takes: ``cross|encoder``, or nothing."""
    words = tuple((option.metavar or "").split("|"))
    return words if len(words) > 1 else ()


def run(data: bytes) -> None:
    """Parses it: the model's loading is reached, help is shown, it is a usage error, or one of ours."""
    arguments = _arguments(data)
    if arguments is None:
        return
    with _in_folder(), _stubbed(), _hidden() as shown:
        before = _files()
        try:
            _command().main(arguments, "attnviz")
        except (AttnVizError, ReachedError):
            pass
        except SystemExit as stop:
            must(stop.code in (None, 0, 2), f"exit code {stop.code}")
            must(stop.code != 2 or "Error" in shown.getvalue() or "Usage" in shown.getvalue(), "exit 2 without a word")
        assert _files() == before, "a file was left before a model was there"


def _arguments(data: bytes) -> list[str] | None:
    """The arguments of a case, None if it is none or would leave its folder."""
    try:
        arguments = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(arguments, list) or not all(isinstance(argument, str) for argument in arguments):
        return None
    if any("\0" in argument or _IS_OUTSIDE.search(argument) for argument in arguments):
        return None  # no process can be given a NUL either
    try:
        return [os.fsdecode(os.fsencode(argument)) for argument in arguments]
    except UnicodeEncodeError:
        return None


@contextlib.contextmanager
def _in_folder() -> Iterator[None]:
    """The current folder is one with pictures, lists, class names and weights that are none."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        (folder / "photos/a.png").write_bytes(_picture())
        (folder / "photos/b.png").write_bytes(b"no picture")
        (folder / "list.txt").write_text("photos/a.png\nnone.png\n")
        (folder / "classes.txt").write_text("cat\ndog\n")
        (folder / "classes.json").write_text('{"0": "cat", "7": "dog"}')
        (folder / "broken.json").write_text("{")
        (folder / "weights.pth").write_bytes(b"\x80\x02}.")
        with contextlib.chdir(folder):
            yield


@cache
def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(file, "PNG")
    return file.getvalue()


@contextlib.contextmanager
def _stubbed() -> Iterator[None]:
    """Nothing is loaded, fetched, hashed or opened."""
    names = (
        "detr_attnviz.detector.load",
        "detr_attnviz.checkpoints.inspection.inspect",
        "detr_attnviz.figures.weights.weights_figure_of",
        "detr_attnviz.checkpoints.zoo.download",
        "detr_attnviz.checkpoints.hub.fetched_folder",
        "typer.launch",
    )
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(mock.patch(name, side_effect=ReachedError))
        stack.enter_context(mock.patch("detr_attnviz.checkpoints.digest.begin_sha256"))
        stack.enter_context(mock.patch.dict(os.environ, {"ATTNVIZ_CHECKPOINT": "", "COLUMNS": "100"}))
        yield
    assert threading.active_count() < 9, "threads were left"


@contextlib.contextmanager
def _hidden() -> Iterator[io.StringIO]:
    """What the command prints."""
    with io.StringIO() as shown, contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        yield shown


def _files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())
