"""Folders as strangers pack them: their configuration is read to a bound, and no index leads out of them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from detr_attnviz.checkpoints.folder import configs_in, weight_files
from detr_attnviz.errors import CheckpointError, UnsafeCheckpointError

NAMES = ("config.json", "preprocessor_config.json", "processor_config.json")
INDEX = "model.safetensors.index.json"
NOBODY = 65534


def configs_refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        configs_in(folder)
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < len(str(folder)) + 300
    return said


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\0" * 100, b"{", b'{"a": "\xe9"}', b"[" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
        *('{"a": 1}'.encode("utf-16"), b'{"a": ' + b"9" * 5000 + b"}", b'{"a": 1} x'),
    ],
)
def test_what_is_no_json(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert f"{name}: not readable as JSON" in configs_refused(tmp_path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", ["[]", "null", "5", '"x"', "NaN"])
def test_json_that_is_no_object(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert "expected an object" in configs_refused(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_that_is_too_large(tmp_path: Path, name: str) -> None:
    with open(tmp_path / name, "wb") as file:
        file.truncate(2 << 30)
    assert f"{name}: not readable as JSON (it is larger than 16 MiB)" in configs_refused(tmp_path)


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert configs_in(tmp_path) == {"a": 1}


def put_folder(path: Path) -> None:
    path.mkdir()


def put_loop(path: Path) -> None:
    path.symlink_to(path.name)


def put_broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def put_pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes with names here")
    os.mkfifo(path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("put", [put_folder, put_loop, put_broken_link, put_pipe])
def test_what_only_has_the_name_of_a_configuration(tmp_path: Path, name: str, put: Callable[[Path], None]) -> None:
    put(tmp_path / name)
    assert f"{name}: a folder, a pipe or a link that leads nowhere; expected a file" in configs_refused(tmp_path)


@pytest.mark.parametrize("put", [put_folder, put_loop, put_broken_link, put_pipe])
def test_what_only_has_the_name_of_a_shard(tmp_path: Path, put: Callable[[Path], None]) -> None:
    put(tmp_path / "shard")
    (tmp_path / INDEX).write_text('{"weight_map": {"a": "shard"}}')
    with pytest.raises(CheckpointError, match=r"1 of 1 shards are missing \(shard\)"):
        weight_files(tmp_path)


STRANGE: list[object] = [
    None,
    5,
    1.5,
    True,
    [],
    {},
    "",
    ".",
    "..",
    "../x",
    "/x",
    "a/b",
    "a\\b",
    "C:x",
    "a\0b",
    "a\nb",
    "\x1b[31m",
]


@pytest.mark.parametrize("name", [*STRANGE, "\u202egnp", "x" * 5000])
def test_shards_that_are_no_plain_names(tmp_path: Path, name: object) -> None:
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "b.safetensors", "c": name}}))
    with pytest.raises(UnsafeCheckpointError, match="refused, because shard=.*is no plain file name") as caught:
        weight_files(tmp_path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(tmp_path)) + 300


def test_an_index_of_more_shards_than_any_checkpoint_has(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {str(number): f"{number}" for number in range(10_001)}}))
    with pytest.raises(CheckpointError, match=r"names 10,001 shards; expected at most 10,000"):
        weight_files(tmp_path)


def test_an_index_that_is_too_large(tmp_path: Path) -> None:
    with open(tmp_path / INDEX, "wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(CheckpointError, match="larger than 16 MiB"):
        weight_files(tmp_path)


def test_links_out_of_the_folder_are_followed_as_the_hubs_cache_consists_of_them(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    for name, content in {"config.json": '{"a": 1}', INDEX: '{"weight_map": {"a": "s"}}', "s": "weights"}.items():
        (tmp_path / "blobs" / f"blob of {name}").write_text(content)
        (tmp_path / "snapshot" / name).symlink_to(Path("..") / "blobs" / f"blob of {name}")
    assert weight_files(tmp_path / "snapshot") == [tmp_path / "snapshot" / "s"]
    assert configs_in(tmp_path / "snapshot") == {"a": 1}


LOOK = """
import os, sys
from pathlib import Path
from detr_attnviz.checkpoints import folder
from detr_attnviz.errors import CheckpointError
os.setgroups([])
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[3]))
try:
    getattr(folder, sys.argv[1])(Path(sys.argv[2]))
except CheckpointError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize(
    ("function", "mode_of_folder", "mode_of_file", "said"),
    [
        ("weight_files", 0o600, 0o644, "cannot be looked at (Permission denied)"),
        ("weight_files", 0o711, 0o644, "cannot be looked into (Permission denied)"),
        ("configs_in", 0o600, 0o644, "config.json: cannot be looked at (Permission denied)"),
        ("configs_in", 0o755, 0o600, "config.json: not readable as JSON (Permission denied)"),
    ],
)
def test_a_folder_that_may_not_be_read(
    tmp_path: Path, function: str, mode_of_folder: int, mode_of_file: int, said: str
) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root, which locks a folder up and looks at it as another user")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "config.json").chmod(mode_of_file)
    folder.chmod(mode_of_folder)
    opened = {above: above.stat().st_mode for above in tmp_path.parents if not above.stat().st_mode & 1}
    tmp_path.chmod(0o755)
    try:
        for above, mode in opened.items():
            above.chmod(mode | 0o111)
        command = [sys.executable, "-c", LOOK, function, str(folder), str(NOBODY)]
        ended = subprocess.run(command, capture_output=True, text=True)
    finally:
        for above, mode in opened.items():
            above.chmod(mode)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert said in ended.stderr
