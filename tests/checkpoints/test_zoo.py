"""The official checkpoints, where they lie, and fetching them from a mirror."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from detr_attnviz.checkpoints import zoo
from detr_attnviz.errors import CheckpointError, ChoiceError, DownloadError
from tests.checkpoints.server import Behaviour, serving

CONTENT = b"weights" * 1000


@pytest.fixture
def known_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> zoo.Known:
    """A known checkpoint whose content this test can serve, and an empty cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    entry = replace(zoo.find("detr-r50"), file=f"detr-r50-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth")
    monkeypatch.setattr(zoo, "_KNOWN", (entry,))
    return entry


def test_names_and_hashes() -> None:
    assert {entry.name: entry.sha256_prefix for entry in zoo.known()} == {
        "detr-r50": "e632da11",
        "detr-r50-dc5": "f0fb7ef5",
        "detr-r101": "2c7b67e5",
        "detr-r101-dc5": "a2e86def",
        "detr-r50-panoptic": "00ce5173",
        "detr-r50-dc5-panoptic": "da08f1b1",
        "detr-r101-panoptic": "40021d53",
        "detr-demo": "da2a99e9",
    }


def test_dilation_and_address_follow_the_name() -> None:
    for entry in zoo.known():
        assert entry.dilation == ("dc5" in entry.name)
        assert entry.url == f"https://dl.fbaipublicfiles.com/detr/{entry.file}"
        assert entry.backbone.removeprefix("resnet") in entry.name or entry.name == "detr-demo"


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ChoiceError, match=r"'detr-r34'; known names are detr-r50, detr-r50-dc5"):
        zoo.find("detr-r34")


def test_files_are_recognised_by_their_name() -> None:
    assert zoo.of_file("/somewhere/detr-r101-2c7b67e5.pth") == zoo.find("detr-r101")
    assert zoo.of_file("detr-r101.pth") == zoo.find("detr-r101")
    assert zoo.of_file("my-detr-r101.pth") is None


@pytest.mark.parametrize(
    "environment", [{}, {"XDG_CACHE_HOME": "/x"}, {"TORCH_HOME": "/t"}, {"TORCH_HOME": "/t", "XDG_CACHE_HOME": "/x"}]
)
def test_cache_folder_is_that_of_torch_hub(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert zoo.cache_folder() == Path(torch.hub.get_dir()) / "checkpoints"


def test_listing_does_not_import_torch() -> None:
    code = "import sys; from detr_attnviz.checkpoints.zoo import is_on_disk as there; there('detr-r50'); "
    code += "print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_download_once(known_file: zoo.Known) -> None:
    behaviour = Behaviour(CONTENT)
    assert not zoo.is_on_disk("detr-r50")
    with serving(behaviour) as url:
        path = zoo.download("detr-r50", base_url=url)
        assert zoo.download("detr-r50", base_url=url) == path == zoo.local_path("detr-r50")
    assert path.read_bytes() == CONTENT
    assert zoo.is_on_disk("detr-r50")
    assert behaviour.paths == [f"/detr/{known_file.file}"]


def test_download_from_the_mirror_in_the_environment(known_file: zoo.Known, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Behaviour(CONTENT)) as url:
        monkeypatch.setenv("ATTNVIZ_DOWNLOAD_URL", f"{url}/")
        assert zoo.download("detr-r50").name == known_file.file


def test_download_into_another_folder(known_file: zoo.Known, tmp_path: Path) -> None:
    with serving(Behaviour(CONTENT)) as url:
        path = zoo.download("detr-r50", base_url=url, cache=tmp_path / "mine")
    assert path == tmp_path / "mine" / known_file.file


def test_download_of_something_else_is_refused(known_file: zoo.Known) -> None:
    with serving(Behaviour(b"another file")) as url, pytest.raises(DownloadError, match="it was removed"):
        zoo.download("detr-r50", base_url=url)
    assert not zoo.is_on_disk("detr-r50")


def test_a_file_is_held_against_the_hash_that_its_name_carries() -> None:
    right, wrong = "e632da11" + "0" * 56, "f0fb7ef5" + "0" * 56
    assert zoo.is_genuine("/cache/detr-r50-e632da11.pth", right)
    assert not zoo.is_genuine("/cache/detr-r50-e632da11.pth", wrong)
    assert not zoo.is_genuine(Path("detr-r50-e632da11.pth"), "")
    for anybodys in ("detr-r50.pth", "mine.pth", "/detr-r50-e632da11.pth/model.pth"):
        assert zoo.is_genuine(anybodys, wrong)


def test_a_damaged_file_is_named_with_both_hashes_and_the_way_out() -> None:
    message = (
        r"/x/detr-r101-2c7b67e5.pth: .*sha256 is f0fb7ef5….*2c7b67e5… by its name.*checkpoints download detr-r101;"
    )
    with pytest.raises(CheckpointError, match=message) as caught:
        zoo.refuse_damaged("/x/detr-r101-2c7b67e5.pth", lambda: "f0fb7ef5" * 8)
    assert "\n" not in str(caught.value)
    zoo.refuse_damaged("/x/detr-r101-2c7b67e5.pth", lambda: "2c7b67e5" * 8)


def test_the_hash_of_other_files_is_not_waited_for() -> None:
    def worked_out() -> str:
        raise AssertionError("hashed for nothing")

    zoo.refuse_damaged("mine.pth", worked_out)
    zoo.refuse_damaged(zoo.DEMO_PATH, worked_out)
    with pytest.raises(AssertionError):
        zoo.refuse_damaged("detr-r101-2c7b67e5.pth", worked_out)


def test_a_damaged_file_gives_way_to_a_whole_one(known_file: zoo.Known) -> None:
    zoo.local_path("detr-r50").parent.mkdir(parents=True)
    zoo.local_path("detr-r50").write_bytes(CONTENT[:-1])
    with serving(Behaviour(CONTENT)) as url:
        assert zoo.download("detr-r50", base_url=url).read_bytes() == CONTENT[:-1]
        assert zoo.download("detr-r50", base_url=url, replaces=True).read_bytes() == CONTENT


NO_ADDRESSES = [
    "foo",
    "http://",
    "file:///x",
    "http://[::1",
    "http://127.0.0.1:9/a\nb",
    "http://127.0.0.1:9/a b",
    "data:,x",
]


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_a_mirror_that_is_no_address(known_file: zoo.Known, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTNVIZ_DOWNLOAD_URL", address)
    with pytest.raises(DownloadError, match="no address to fetch from.*expected http://.*ATTNVIZ_DOWNLOAD_URL"):
        zoo.download("detr-r50")
    assert not zoo.cache_folder().exists()
