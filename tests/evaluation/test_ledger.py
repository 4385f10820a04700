"""The file of results: resumed, torn, foreign, taken."""

from pathlib import Path

import pytest

from detr_attnviz.errors import OutputError
from detr_attnviz.evaluation.ledger import opened
from detr_attnviz.evaluation.results import PictureResult
from tests.evaluation.fakes import query_result

RESULT = PictureResult("a.png", "ab", (query_result({"raw": [1, 0, 0]}),), 3)
OTHER = PictureResult("b.png", "cd", (), 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that holds two results of the settings "one"."""
    file = tmp_path / "new" / "results.jsonl"
    with opened(file, "one") as ledger:
        ledger.put(RESULT)
        ledger.put(OTHER)
    return file


def test_results_are_found_again_by_place_and_content(path: Path) -> None:
    with opened(path, "one") as ledger:
        found = ledger.find("a.png", "ab")
        assert found is not None
        assert found.as_row() == RESULT.as_row()
        assert ledger.find("b.png", "cd") is not None
        assert ledger.find("a.png", "other content") is None


def test_other_settings_have_lines_of_their_own(path: Path) -> None:
    with opened(path, "two") as ledger:
        assert ledger.find("a.png", "ab") is None
        ledger.put(RESULT)
    assert len(path.read_text().splitlines()) == 3
    with opened(path, "one") as ledger:
        assert ledger.find("b.png", "cd") is not None


def test_a_torn_line_is_cut_off_and_done_again(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with opened(path, "one") as ledger:
        assert ledger.find("a.png", "ab") is not None
        assert ledger.find("b.png", "cd") is None
        ledger.put(OTHER)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", ["notes of mine\n", "{}\n", '{"format": "attnviz evaluation 1"}\n', "[1]\n"])
def test_another_program_s_file_is_left_alone(tmp_path: Path, line: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(line)
    with pytest.raises(OutputError, match="no results of attnviz evaluate: move it away"), opened(path, "one"):
        pass
    assert path.read_text() == line


@pytest.mark.parametrize(
    ("known", "damaged"),
    [
        ('"forwards": 3', '"forwards": Infinity'),
        pytest.param('"forwards": 3', f'"forwards": {"[" * 60_000}', id="deep"),
        pytest.param('"box": [0.0', f'"box": [1{"0" * 400}', id="large"),
        ('"maps": {', '"maps": [1], "x": {'),
        ('"energy"', '"energi"'),
        ('"score": 0.9', '"score": "high"'),
    ],
)
def test_a_damaged_result_is_no_result_of_ours(path: Path, known: str, damaged: str) -> None:
    whole = path.read_text()
    assert known in whole
    path.write_text(whole.replace(known, damaged, 1))
    with pytest.raises(OutputError, match="no results of attnviz evaluate"), opened(path, "one"):
        pass


def test_one_run_at_a_time(path: Path) -> None:
    with opened(path, "one"), pytest.raises(OutputError, match="another run is writing"), opened(path, "two"):
        pass
    assert list(path.parent.iterdir()) == [path]


def test_a_file_in_the_folder_s_place(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write .*a file has the name"):
        opened(tmp_path / "out" / "results.jsonl", "one").__enter__()


def test_without_a_path_results_are_kept_in_memory() -> None:
    with opened(None, "one") as ledger:
        ledger.put(RESULT)
        assert ledger.find("a.png", "ab") is RESULT
