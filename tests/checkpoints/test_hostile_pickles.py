"""Pickles that ask for more than tensors run nothing, in any format, and are refused by what they ask for."""

import copyreg
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from detr_attnviz.checkpoints.read import read
from detr_attnviz.errors import UnsafeCheckpointError
from tests.checkpoints.assembled import (
    Call,
    Name,
    as_legacy,
    as_plain,
    as_tar,
    as_zip,
    call,
    name,
    pickled,
    pickled_by,
    row,
    table,
    text,
)

FORMATS: dict[str, Callable[[Path, bytes], Path]] = {
    "zip": as_zip,
    "legacy": as_legacy,
    "tar": as_tar,
    "plain": as_plain,
}


def calls(mark: str) -> dict[str, Call]:
    """What would leave ``mark`` if it were called, by the name that it is to be refused by."""
    touch = f"open({mark!r}, 'w').close()"
    system, builtins, import_module = (
        Name("os", "system"),
        partial(Name, "builtins"),
        Name("importlib", "import_module"),
    )
    return {
        "os.system": system(f"touch {mark}"),
        "posix.system": Name("posix", "system")(f"touch {mark}"),
        "os.popen": Name("os", "popen")(f"touch {mark}"),
        "os.execlp": Name("os", "execlp")("touch", "touch", mark),
        "pty.spawn": Name("pty", "spawn")(["touch", mark]),
        "builtins.eval": builtins("eval")(touch),
        "__builtin__.exec": Name("__builtin__", "exec")(touch),
        "builtins.open": builtins("open")(mark, "w"),
        "builtins.compile": builtins("exec")(builtins("compile")(touch, "x", "exec")),
        "builtins.__import__": builtins("__import__")("antigravity"),
        "builtins.getattr": builtins("getattr")(import_module("os"), "system")(f"touch {mark}"),
        "builtins.map": builtins("list")(builtins("map")(system, [f"touch {mark}"])),
        "builtins.globals": builtins("getattr")(builtins("globals")(), "get")("__builtins__"),
        "subprocess.Popen": Name("subprocess", "Popen")(["touch", mark]),
        "subprocess.check_output": Name("subprocess", "check_output")(["touch", mark]),
        "importlib.import_module": import_module("antigravity"),
        "runpy.run_path": Name("runpy", "run_path")(mark),
        "shutil.copy": Name("shutil", "copy")(__file__, mark),
        "timeit.timeit": Name("timeit", "timeit")(touch),
        "functools.partial": Name("functools", "partial")(system, f"touch {mark}")(),
        "operator.attrgetter": Name("operator", "attrgetter")("system")(import_module("os"))(f"touch {mark}"),
        "pickle.loads": Name("pickle", "loads")(pickled_by(2, system(f"touch {mark}"))),
        "marshal.loads": Name("types", "FunctionType")(Name("marshal", "loads")(b"N"), {})(),
        "codecs.decode": Name("codecs", "decode")(b"x", "rot13"),
        "ctypes.CDLL": Name("ctypes", "CDLL")(mark),
        "webbrowser.open": Name("webbrowser", "open")(mark),
        "numpy.load": Name("numpy", "load")(mark, None, True),
        "torch.load": Name("torch", "load")(mark),
        "torch.hub.load": Name("torch.hub", "load")(mark, "x"),
        "torch.jit.load": Name("torch.jit", "load")(mark),
        "torch.ops.load_library": Name("torch", "ops.load_library")(mark),
    }


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "mark"
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("asked", calls("mark"))
def test_calls_of_every_protocol_and_format(tmp_path: Path, mark: Path, asked: str, form: str, protocol: int) -> None:
    content = pickled_by(protocol, {"model": {"a": 1}, "hook": calls(str(mark))[asked]})
    path = FORMATS[form](tmp_path / "x.pth", content)
    with pytest.raises(UnsafeCheckpointError, match="nothing in it was run") as caught:
        read(path)
    assert asked.replace("__builtin__", "builtins") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("asked", ["os.system", "builtins.eval", "builtins.getattr", "functools.partial"])
def test_the_same_pickles_leave_their_mark_where_pickle_itself_loads_them(
    tmp_path: Path, asked: str, protocol: int
) -> None:
    pickle.loads(pickled_by(protocol, calls(str(tmp_path / "mark"))[asked]))
    assert (tmp_path / "mark").exists()


def by_stack(module: bytes, of: bytes) -> bytes:
    return module + of + b"\x93"


SHELL = text("touch mark")
DISGUISED: dict[str, tuple[bytes, str]] = {
    "an alias of the module": (call("posix", "system", SHELL), "posix.system"),
    "another system's alias": (call("nt", "system", SHELL), "nt.system"),
    "Python 2's builtins": (call("__builtin__", "eval", SHELL), "builtins.eval"),
    "a path of names": (by_stack(text("os"), text("path.os.system")) + row(SHELL) + b"R", "os.path.os.system"),
    "a path from a module that is allowed": (
        by_stack(text("torch._utils"), text("os.system")) + row(SHELL) + b"R",
        "torch._utils.os.system",
    ),
    "a path from a class that is allowed": (
        by_stack(text("collections"), text("OrderedDict.__init__.__globals__")),
        "collections.OrderedDict.__init__",
    ),
    "a name like a storage's": (by_stack(text("os"), text("Storage")) + row(SHELL) + b"R", "os.Storage"),
    "a name like a number's": (call("torch", "float_power", SHELL), "torch.float_power in another way"),
    "names by way of the memo": (
        text("os")
        + b"q\x00"
        + text("system")
        + b"q\x01"
        + b"00"
        + text("decoy")
        + b"h\x00h\x01\x93"
        + row(SHELL)
        + b"R",
        "os.system",
    ),
    "names beside what is dropped": (
        text("os") + text("decoy") + b"0" + text("system") + b"\x93" + row(SHELL) + b"R",
        "os.system",
    ),
    "an instance of old": (b"(" + SHELL + b"ios\nsystem\n", "os.system"),
    "an object of old": (b"(" + name("os", "system") + SHELL + b"o", "os.system"),
    "a new object": (name("os", "system") + row(SHELL) + b"\x81", "os.system"),
    "a new object with options": (name("os", "system") + row(SHELL) + table() + b"\x92", "os.system"),
    "a number of the registry": (b"\x82\xf0" + row(SHELL) + b"R", "copyreg.extension 240"),
    "a state for an object": (name("os", "system") + table() + b"b", "os.system"),
    "a state for a tensor": (call("torch", "Tensor") + row() + b"b", "torch.Tensor in another way"),
    "a call by way of what is allowed": (
        call("torch._tensor", "_rebuild_from_type_v2", name("os", "system"), name("torch", "Tensor"), row(SHELL), b"N"),
        "os.system",
    ),
    "an encoding of one's own": (call("_codecs", "encode", SHELL, text("mark")), "_codecs.encode in another way"),
    "a class that touches disks": (call("pathlib", "Path.touch", SHELL), "pathlib.Path.touch"),
    "an alias of a class of paths": (call("pathlib", "os.system", SHELL), "pathlib.os.system"),
    "a line's end in a name": (by_stack(text("os\nx"), text("sys\x1b[31mtem")), r"os\nx.sys\x1b[31mtem"),
    "one call among a thousand": (
        b"".join(call("collections", "OrderedDict") + b"0" for _ in range(1000)) + call("os", "system", SHELL),
        "os.system",
    ),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("disguise", DISGUISED)
def test_disguises_are_seen_through(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, disguise: str, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    content, asked = DISGUISED[disguise]
    path = FORMATS[form](Path("x.pth"), pickled(content))
    with pytest.raises(UnsafeCheckpointError) as caught:
        read(path)
    assert asked in str(caught.value)
    assert "\n" not in str(caught.value)


def test_registry_of_the_process_is_not_asked(tmp_path: Path, mark: Path) -> None:
    copyreg.add_extension("os", "system", 240)
    try:
        content, asked = DISGUISED["a number of the registry"]
        with pytest.raises(UnsafeCheckpointError, match=asked):
            read(as_plain(tmp_path / "x.pth", pickled(content)))
    finally:
        copyreg.remove_extension("os", "system", 240)


def test_all_that_it_asks_for_is_named(tmp_path: Path) -> None:
    content = pickled(table(*(part for number in range(9) for part in (text(str(number)), name("m", f"n{number}")))))
    with pytest.raises(UnsafeCheckpointError, match=r"m\.n0, m\.n1, m\.n2, m\.n3, m\.n4, … and 4 more"):
        read(as_zip(tmp_path / "x.pth", content))


def test_a_pickle_that_is_cut_off_is_refused_by_what_it_asked_for_until_then(tmp_path: Path) -> None:
    content = pickled(call("os", "system", SHELL))[:-1]
    with pytest.raises(UnsafeCheckpointError, match=r"os\.system"):
        read(as_plain(tmp_path / "x.pth", content))
