"""Class names from texts, COCO files and mappings, whatever somebody put into them."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from detr_attnviz.checkpoints.class_names import read_class_names
from detr_attnviz.errors import ChoiceError

LONG_NUMBER = "9" * 5000


def read(tmp_path: Path, content: bytes | str, name: str = "names.json") -> tuple[str, ...]:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_class_names(tmp_path / name)


def refused(tmp_path: Path, content: bytes | str, name: str = "names.json") -> str:
    with pytest.raises(ChoiceError) as caught:
        read(tmp_path, content, name)
    said = str(caught.value)
    assert said.startswith(str(tmp_path / name))
    assert said.isprintable()
    assert len(said) < len(str(tmp_path)) + 300
    return said


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("cat\ndog\n", ("cat", "dog")),
        ("\ufeffcat\r\n\r\ndog", ("cat", "", "dog")),
        ("a\rb", ("a", "b")),
        ('["cat", "dog"]', ("cat", "dog")),
        ('\ufeff{"1": "cat"}', ("", "cat")),
        ('{"categories": [{"id": 2, "name": "cat"}, {"id": 0.0, "name": 7}]}', ("7", "", "cat")),
        ('[{"id": "1", "name": "cat"}]', ("", "cat")),
        ('{"٣": "three"}', ("", "", "", "three")),
        ('{"0": "cat", "00": "cat"}', ("cat",)),
        ("\x1b[31mred\x1b[0m\n<b>\n\u202egnp", ("\x1b[31mred\x1b[0m", "<b>", "\u202egnp")),
    ],
)
def test_names_as_they_stand(tmp_path: Path, content: str, names: tuple[str, ...]) -> None:
    assert read(tmp_path, content, "names.txt") == names


@pytest.mark.parametrize(
    "found",
    [
        *("-1", "1.5", "1e400", "NaN", "-Infinity", "true", "null", "100001", "999999999999", "[1]", "{}"),
        *('"x"', '""', '"1_0"', '"²"', '"-1"', f'"{LONG_NUMBER}"', '"\\u001b[31m"'),
    ],
)
def test_ids_that_are_none(tmp_path: Path, found: str) -> None:
    said = refused(tmp_path, f'{{"categories": [{{"id": {found}, "name": "cat"}}]}}')
    assert "class ids must be in 0–100000 and have names; found id=" in said


@pytest.mark.parametrize("name", ["null", "true", "[]", '["cat"]', '{"a": 1}'])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    assert "found id='0', name=" in refused(tmp_path, f'{{"0": {name}}}')


@pytest.mark.parametrize(
    "content", ['{"0": "cat", "00": "dog"}', '[{"id": 0, "name": "cat"}, {"id": 0, "name": "dog"}]']
)
def test_two_names_for_one_id(tmp_path: Path, content: str) -> None:
    assert "class id 0 has two names" in refused(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        *("5", '"cat"', "null", "[1, 2]", '["cat", 1]', '[["cat"]]', '[{"id": 0}]', '[{"name": "cat"}]'),
        *('{"categories": 5}', '{"categories": "cat"}', '{"categories": {"id": 0}}', '{"categories": [null]}'),
    ],
)
def test_json_of_another_form(tmp_path: Path, content: str) -> None:
    assert "no class names found; expected a COCO file" in refused(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    ["", "{", '["cat"] x', "[" * 200_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, f"[{LONG_NUMBER}]", "cat"],
)
def test_what_is_no_json(tmp_path: Path, content: str) -> None:
    assert "not valid JSON; expected a COCO file" in refused(tmp_path, content)


@pytest.mark.parametrize("content", ["cat\ndog".encode("utf-16"), b"caf\xe9", b"\x80\x02}q\x00."])
def test_what_is_no_text(tmp_path: Path, content: bytes) -> None:
    assert "cannot be read: it is not UTF-8 text" in refused(tmp_path, content)


@pytest.mark.parametrize("content", ["{}", '{"categories": []}'])
def test_no_id_at_all(tmp_path: Path, content: str) -> None:
    assert "there must be at least one" in refused(tmp_path, content)


def test_too_many_names_and_too_long_ones(tmp_path: Path) -> None:
    assert len(read(tmp_path, "x\n" * 100_001, "names.txt")) == 100_001
    assert "100,002 class names; expected 100,001 at most" in refused(tmp_path, "x\n" * 100_002, "names.txt")
    assert "100,002 class names" in refused(tmp_path, json.dumps(["x"] * 100_002))
    assert len(read(tmp_path, "x" * 1000, "names.txt")[0]) == 1000
    assert "has 1,048,576 letters; expected 1,000 at most" in refused(tmp_path, "x" * (1 << 20), "names.txt")
    assert "has 1,001 letters" in refused(tmp_path, json.dumps({"0": "x" * 1001}))


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with open(tmp_path / "names.json", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ChoiceError, match=r"larger than 32 MiB; a COCO file's categories alone are enough"):
        read_class_names(tmp_path / "names.json")


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path, tmp_path / "none", tmp_path / "loop", "x" * 5000, "a\0b", ""):
        with pytest.raises(ChoiceError, match=r"class names cannot be read: it (is|does|cannot) .*; give a") as caught:
            read_class_names(path)
        assert str(caught.value).isprintable()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_that_nobody_writes_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "names.txt")
    with pytest.raises(
        ChoiceError, match="it is a pipe from which nothing came; give a text file with one name a line"
    ):
        read_class_names(tmp_path / "names.txt")


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="pipes have no names here")
@pytest.mark.parametrize("content", [b"cat\ndog\n", b'["cat", "dog"]', b"cat\ndog".ljust(60_000)])
def test_a_pipe_that_is_written_to(content: bytes) -> None:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    try:
        assert read_class_names(f"/dev/fd/{reading}") == ("cat", "dog")
    finally:
        os.close(reading)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no sockets with names here")
def test_sockets_and_devices_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for name in ("zero", "socket"):
            with pytest.raises(
                ChoiceError, match=f"^{name}: .* it is a device or socket, not a file; give a text file"
            ):
                read_class_names(name)


@pytest.mark.parametrize("found", ["x", LONG_NUMBER, None, 1.5, 10**12, -1, float("inf"), True])
def test_mappings_of_a_caller(found: Any) -> None:
    assert read_class_names({0: "cat", 2: "dog"}) == ("cat", "", "dog")
    with pytest.raises(ChoiceError, match="the class names: class ids must be in 0–100000"):
        read_class_names({found: "cat"})
