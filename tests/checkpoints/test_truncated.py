"""A file that was cut off anywhere is refused in one line, with bounded memory, and told to be fetched again."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.checkpoints.measured import MOST_FOR_ANY_FILE, Measured, measured, needs_measuring
from tests.checkpoints.states import transformer_state

pytestmark = needs_measuring
PARTS = 64
FORMS = ("zip", "legacy", "safetensors", "folder", "index")


def written(form: str, folder: Path) -> tuple[Path, Path]:
    """A whole checkpoint: what is read, and the file of it that is to be cut."""
    state = transformer_state()
    folder.mkdir()
    if form in ("zip", "legacy"):
        args = {"model": state, "epoch": 3}
        torch.save(args, folder / "x.pth", _use_new_zipfile_serialization=form == "zip")
        return folder / "x.pth", folder / "x.pth"
    if form == "safetensors":
        save_file(state, folder / "x.safetensors")
        return folder / "x.safetensors", folder / "x.safetensors"
    names = sorted(state)
    halves = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for name, keys in halves.items():
        save_file({key: state[key] for key in keys}, folder / name)
    index = {"weight_map": {key: name for name, keys in halves.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder, folder / ("two.safetensors" if form == "folder" else "model.safetensors.index.json")


@pytest.fixture(scope="module", params=FORMS)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Measured, int]]:
    folder = tmp_path_factory.mktemp("cut")
    paths, sizes = [], []
    for part in range(PARTS):
        path, to_cut = written(request.param, folder / str(part))
        content = to_cut.read_bytes()
        to_cut.write_bytes(content[: len(content) * part // PARTS])
        paths.append(path)
        sizes.append(len(content))
    return list(zip(measured(paths), sizes, strict=True))


def test_cut_at_every_sixty_fourth_of_a_file(results: list[tuple[Measured, int]]) -> None:
    for part, (found, size) in enumerate(results):
        assert found.kind == "CheckpointError", (part, found)
        assert "\n" not in found.message
        assert "again" in found.message, (part, found.message)
        assert found.grown <= 2 * size + MOST_FOR_ANY_FILE, (part, found)


def test_whole_files_are_read_and_their_memory_is_measured(tmp_path: Path) -> None:
    paths = [written(form, tmp_path / form)[0] for form in FORMS]
    assert [found.kind for found in measured(paths)] == [""] * len(FORMS)
    torch.save({"a": torch.ones(16 << 20)}, tmp_path / "large.pth", _use_new_zipfile_serialization=False)
    (large,) = measured([tmp_path / "large.pth"])
    assert 64 << 20 <= large.grown < 128 << 20
