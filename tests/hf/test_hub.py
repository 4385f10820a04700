"""Models of the Hugging Face Hub by name, from a Hub on this machine."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from detr_attnviz.checkpoints.hub import cached_folder, fetched_folder, is_hub_name
from detr_attnviz.checkpoints.inspection import inspect
from detr_attnviz.checkpoints.source import locate, needs_fetching
from detr_attnviz.errors import CheckpointError, DownloadError, MissingExtraError
from detr_attnviz.families.hf_family import HFFamily
from detr_attnviz.families.open import open_family
from tests.hf.hub_server import Hub, serving
from tests.hf.saved import save_folder

huggingface_hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
constants = pytest.importorskip("huggingface_hub.constants", reason="huggingface_hub is not installed")

NAME = "somebody/tiny-conditional-detr"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_folder("conditional_detr", tmp_path_factory.mktemp("model"))
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.safetensors").write_bytes(b"another form of the same")
    (folder / "pytorch_model.bin").write_bytes(b"the same weights once more")
    (folder / "README.md").write_text("what it is")
    return folder


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub, an empty cache, and a current folder with nothing in it."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    hub = Hub(NAME, folder)
    with serving(hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between the package's own retries
        yield hub


def test_a_name_of_the_hub_is_fetched_and_opened(hub: Hub, folder: Path) -> None:
    family = open_family(NAME)
    assert isinstance(family, HFFamily)
    assert family.origin.name == NAME
    assert family.origin.sha256 == open_family(folder / "model.safetensors").origin.sha256
    assert sorted(hub.fetched) == ["config.json", "model.safetensors", "preprocessor_config.json"]


def test_a_model_that_is_on_disk_is_not_sent_again_and_serves_without_a_connection(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetched_folder(NAME)
    sent = len(hub.fetched)
    assert fetched_folder(NAME) == first
    assert len(hub.fetched) == sent
    hub.status = 503
    assert fetched_folder(NAME) == first == cached_folder(NAME)
    assert inspect(NAME).rows


@pytest.mark.usefixtures("hub")
def test_what_was_not_fetched_is_not_inspected() -> None:
    with pytest.raises(CheckpointError, match=rf"nor fetched from the Hugging Face Hub: hf download {NAME}"):
        locate(NAME, may_fetch=False)
    assert needs_fetching(NAME)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, "RepoNotFound", r"no such file or folder, and no such model.*check the name, or log in"),
        (403, "GatedRepo", r"to those who ask: ask on its page of the Hub, then log in"),
        (503, "", r"not on disk, and could not be fetched whole.*check the network"),
    ],
)
def test_what_the_hub_refuses(hub: Hub, status: int, code: str, message: str) -> None:
    hub.status, hub.code = status, code
    with pytest.raises(DownloadError, match=message):
        open_family(NAME)


def test_a_cut_transfer_says_so_and_the_next_call_fetches_the_rest(hub: Hub) -> None:
    hub.cut_after = 5000
    with pytest.raises(DownloadError, match=r"could not be fetched whole.*run the same command again"):
        open_family(NAME)
    hub.cut_after = None
    assert isinstance(open_family(NAME), HFFamily)


def test_pickled_weights_are_taken_where_there_are_no_others(hub: Hub, tmp_path: Path) -> None:
    folder = save_folder("conditional_detr", tmp_path / "older")
    torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    hub.folder = folder
    assert (fetched_folder(NAME) / "pytorch_model.bin").is_file()


@pytest.mark.parametrize("name", ["a/b.pth", "a/b/c", "a", "./a", "../a", "~a/b", "a/b.safetensors", "a b/c", ""])
def test_what_is_no_name_of_the_hub(name: str) -> None:
    assert not is_hub_name(name)


REFUSED = [
    "a--b/c",
    "foo/..",
    "-a/b",
    "a-/b",
    "a/.b",
    "a/b.",
    "a/b..c",
    "a/b.git",
    "a/" + "b" * 97,
    "b" * 97 + "/a",
    "é/b",
]


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_hub_allows_no_name_to_be_is_said_in_a_line(name: str, hub: Hub) -> None:
    assert not is_hub_name(name)
    assert cached_folder(name) is None
    assert not needs_fetching(name)
    with pytest.raises(CheckpointError, match="no such file or folder, and no known name") as caught:
        open_family(name)
    assert "\n" not in str(caught.value)
    assert hub.fetched == []


@pytest.mark.parametrize("name", ["a/b", "_a/b_", "a-b/c.d-e_f", "a/" + "b" * 96, "0/1"])
@pytest.mark.usefixtures("hub")
def test_what_the_hubs_package_takes_for_a_name_is_one(name: str) -> None:
    huggingface_hub.utils.validate_repo_id(name)
    assert is_hub_name(name)


@pytest.mark.usefixtures("hub")
def test_a_name_that_only_the_hubs_package_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise huggingface_hub.utils.HFValidationError("no such name")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", refuse)
    monkeypatch.setattr(huggingface_hub, "HfApi", refuse)
    assert cached_folder("a/b") is None
    with pytest.raises(DownloadError, match="a/b: .*no such name"):
        fetched_folder("a/b")


def test_what_lies_in_the_current_folder_is_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_name("owner/name")
    (tmp_path / "owner").mkdir()
    assert not is_hub_name("owner/name")
    with pytest.raises(CheckpointError, match="no such file or folder"):
        locate("owner/name")


def test_without_the_hubs_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r'no such file or folder.*pip install "detr-attnviz\[hf\]"'):
        locate("owner/name")
    assert cached_folder("owner/name") is None


STRANGE = [
    "../../evil.json",
    "../../../../evil.safetensors",
    "{outside}/evil.json",
    "..\\..\\evil.json",
    "a\0b.json",
    "line\n.json",
    "*.json",
    "**/*.json",
    "[a-z]*.json",
    "?onfig.json",
    "\u202egnp.json",
    "é.json",
    "x" * 300 + ".json",
    "",
    "config.json/evil.json",
    None,
    5,
    ["config.json"],
]


def test_names_of_files_lead_nowhere(hub: Hub, tmp_path: Path) -> None:
    hub.listed = tuple(name.format(outside=tmp_path) if isinstance(name, str) else name for name in STRANGE)
    folder = fetched_folder(NAME)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    assert [path for path in tmp_path.rglob("*evil*") if "model" not in path.parts] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "here"]


@pytest.mark.parametrize("sha", ["../../../evil", "{outside}/evil", "main", "", None, "0" * 39, "0" * 40 + "/x"])
def test_a_commit_that_is_none_is_no_folder(hub: Hub, sha: str | None, tmp_path: Path) -> None:
    hub.sha = None if sha is None else sha.format(outside=tmp_path)
    with pytest.raises(DownloadError, match="the Hub names no commit of it") as caught:
        fetched_folder(NAME)
    assert str(caught.value).isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["", "/api/models/" + NAME, "file:///etc/passwd", "ftp://127.0.0.1:9/x", "http://[::1"]
)
def test_redirections_that_lead_nowhere(hub: Hub, status: int, location: str) -> None:
    hub.status, hub.location = status, location
    with pytest.raises(DownloadError, match="not on disk, and could not be fetched whole") as caught:
        fetched_folder(NAME)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("status", [204, 400, 401, 404, 418, 429, 500, 502, 504])
def test_what_else_the_hub_answers_is_one_line(hub: Hub, status: int) -> None:
    hub.status = status
    with pytest.raises(DownloadError) as caught:
        fetched_folder(NAME)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("too_many", [1, 1 << 40])
def test_a_length_that_is_too_large(hub: Hub, too_many: int) -> None:
    hub.too_many = too_many
    with pytest.raises(DownloadError, match="could not be fetched whole") as caught:
        fetched_folder(NAME)
    assert str(caught.value).isprintable()
    hub.too_many = 0
    assert isinstance(open_family(NAME), HFFamily)


def test_weights_that_are_sent_shorter_than_they_are_listed_are_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.cut_after = 20_000  # longer than every other answer
    with pytest.raises(DownloadError, match="could not be fetched whole"):
        fetched_folder(NAME)
    assert list(tmp_path.rglob("model.safetensors")) == []
    hub.cut_after = None
    assert isinstance(open_family(NAME), HFFamily)
