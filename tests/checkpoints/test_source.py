"""A known name is that name wherever one stands; a path is a path; nothing lists the known names."""

import errno
import os
from pathlib import Path

import pytest
import torch

from detr_attnviz.checkpoints import zoo
from detr_attnviz.checkpoints.inspection import inspect
from detr_attnviz.checkpoints.source import default_source, known_names, locate, needs_fetching
from detr_attnviz.errors import CheckpointError
from tests.checkpoints.states import transformer_state


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder, with nothing fetched yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_known_name_wins_over_a_folder_or_file_of_that_name(here: Path) -> None:
    (here / "demo").mkdir()
    assert locate("demo") == ("demo", zoo.DEMO_PATH)
    zoo.local_path("detr-r50").parent.mkdir(parents=True)
    zoo.local_path("detr-r50").touch()
    (here / "detr-r50").touch()
    assert locate("detr-r50") == ("detr-r50", zoo.local_path("detr-r50"))


@pytest.mark.parametrize("is_absolute", [True, False])
def test_a_path_means_the_folder(here: Path, is_absolute: bool) -> None:
    (here / "demo").mkdir()
    name, path = locate(str(here / "demo") if is_absolute else "./demo")
    assert (name, path.resolve()) == ("demo", here / "demo")


def test_a_path_object_means_the_folder_first(here: Path) -> None:
    assert locate(Path("demo")) == ("demo", zoo.DEMO_PATH)
    (here / "demo").mkdir()
    assert locate(Path("./demo")) == ("demo", Path("demo"))


def test_inspection_reads_the_known_name_too(here: Path) -> None:
    (here / "detr-r50").mkdir()
    with pytest.raises(CheckpointError, match=r"checkpoints download detr-r50; the one in this folder is \./detr-r50"):
        inspect("detr-r50")
    torch.save(transformer_state(), here / "detr-r50" / "pytorch_model.bin")
    assert len(inspect("./detr-r50").rows) == 5


def test_known_name_is_fetched(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(name: str, progress: object) -> Path:
        fetched.append((name, progress))
        return here / "x"

    fetched: list[tuple[str, object]] = []
    monkeypatch.setattr(zoo, "download", download)
    assert locate("detr-r101", progress=print) == ("detr-r101", here / "x")
    assert fetched == [("detr-r101", print)]


@pytest.mark.parametrize(
    "missing",
    ["none.pth", "", "Demo", "~nobody-of-this-name/x", "a\0b", "x" * 300, "demo/", "a--b/c", "x/" + "y" * 300],
)
@pytest.mark.usefixtures("here")
def test_nothing_there_lists_the_known_names(missing: str) -> None:
    with pytest.raises(CheckpointError, match="no such file or folder, and no known name; known names are") as caught:
        locate(missing)
    assert ", ".join(known_names()) in str(caught.value)


@pytest.mark.usefixtures("here")
def test_the_current_folder_has_a_name() -> None:
    assert locate(".") == ("here", Path("."))
    assert locate("~")[1] == Path.home()


def test_what_may_not_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(CheckpointError, match="locked/x.pth: cannot be looked at .*permission"):
        locate("locked/x.pth")


def test_default_is_the_environments_then_the_one_on_disk_then_the_demo(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATTNVIZ_CHECKPOINT", raising=False)
    assert default_source()[0] == "demo"
    zoo.local_path("detr-r50").parent.mkdir(parents=True)
    zoo.local_path("detr-r50").touch()
    assert default_source() == ("detr-r50", "checkpoint detr-r50, found on disk; -c chooses another")
    monkeypatch.setenv("ATTNVIZ_CHECKPOINT", "mine.pth")
    assert default_source() == ("mine.pth", "checkpoint mine.pth, from $ATTNVIZ_CHECKPOINT")


def test_only_a_known_name_that_is_not_on_disk_or_one_of_the_hub_needs_fetching(here: Path) -> None:
    assert not needs_fetching("demo")
    assert not needs_fetching("none.pth")
    assert not needs_fetching("folder/none.pth")
    assert needs_fetching("owner/name")
    assert not needs_fetching("./owner/name")
    assert needs_fetching("detr-r50")
    zoo.local_path("detr-r50").parent.mkdir(parents=True)
    zoo.local_path("detr-r50").touch()
    assert not needs_fetching("detr-r50")
