"""Files that lie about what they hold, or would swell, are refused in one line, with bounded memory."""

import re
from pathlib import Path

import pytest

from tests.checkpoints.bombs import every_bomb
from tests.checkpoints.measured import MOST_FOR_ANY_FILE, Measured, measured, needs_measuring

pytestmark = needs_measuring
OURS = ("CheckpointError", "UnsafeCheckpointError", "CheckpointKeysError")


def check(found: Measured, path: Path) -> None:
    assert found.kind in OURS, found
    assert found.message.startswith(str(path))
    assert "\n" not in found.message
    assert len(found.message) < 1000
    assert found.grown <= 2 * path.stat().st_size + MOST_FOR_ANY_FILE, f"grew by {found.grown >> 20} MB"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Measured, Path]]:
    folder = tmp_path_factory.mktemp("bombs")
    paths = {}
    for number, (what, bomb) in enumerate(every_bomb().items()):
        paths[what] = folder / f"{number}.pth"
        bomb.build(paths[what])
    return {what: (found, path) for (what, path), found in zip(paths.items(), measured([*paths.values()]), strict=True)}


@pytest.mark.parametrize("what", every_bomb())
def test_refused_in_one_line_within_its_memory(what: str, results: dict[str, tuple[Measured, Path]]) -> None:
    found, path = results[what]
    check(found, path)
    assert re.search(every_bomb()[what].words, found.message), found.message
