"""Which files are written."""

import json
from pathlib import Path

import pytest
from PIL import Image

from detr_attnviz.errors import ChoiceError, OutputError
from detr_attnviz.evaluation.output import Output
from detr_attnviz.evaluation.results import Evaluation
from detr_attnviz.evaluation.summary import summarise
from detr_attnviz.evaluation.write import write_reports
from tests.evaluation.fakes import evaluation_of, query_result


@pytest.fixture
def evaluation() -> Evaluation:
    return evaluation_of([[query_result({"raw": [4, 1, 0], "raw:max": [4, 3, 0]}, heads=(-1.0, 0.0))]] * 2)


def write(evaluation: Evaluation, path: Path) -> list[str]:
    return [path.name for path in write_reports(evaluation, summarise(evaluation), Output.at(path))]


def test_a_folder_gets_everything(tmp_path: Path, evaluation: Evaluation) -> None:
    names = write(evaluation, tmp_path)
    assert names == [
        "evaluation.html",
        "evaluation.csv",
        "evaluation.queries.csv",
        "evaluation.heads.csv",
        "evaluation.json",
        "evaluation.png",
        "evaluation.heads-decoder-cross.png",
    ]
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    assert json.loads((tmp_path / "evaluation.json").read_text())["queries"] == 2
    with Image.open(tmp_path / "evaluation.png") as picture:
        assert picture.width > 1000


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("a.html", ["a.html"]),
        ("a.JSON", ["a.JSON"]),
        ("a.csv", ["a.csv", "a.queries.csv", "a.heads.csv"]),
        ("a.svg", ["a.svg", "a.heads-decoder-cross.svg"]),
    ],
)
def test_a_file_is_of_its_suffix(tmp_path: Path, evaluation: Evaluation, name: str, files: list[str]) -> None:
    assert write(evaluation, tmp_path / name) == files


def test_no_figure_of_nothing(tmp_path: Path) -> None:
    assert write(evaluation_of([[]]), tmp_path / "a.png") == []


def test_results_are_kept_beside_the_report(tmp_path: Path) -> None:
    assert Output.at(tmp_path / "a.html").results == tmp_path / "a.results.jsonl"
    assert Output.at(tmp_path / "a.csv").results == tmp_path / "a.results.jsonl"
    assert Output.at(tmp_path / "new").results == tmp_path / "new" / "evaluation.results.jsonl"
    assert Output.at(tmp_path / "new").folder == tmp_path / "new"
    assert Output.at(tmp_path / "a.html").folder is None


def test_a_folder_with_a_dot_in_its_name(tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match=r"no report is called \.2; give a file ending in \.html, \.csv, \.json"):
        Output.at(tmp_path / "run.2")
    (tmp_path / "run.2").mkdir()
    assert Output.at(tmp_path / "run.2").results.parent == tmp_path / "run.2"


def test_a_report_that_cannot_be_written(tmp_path: Path, evaluation: Evaluation) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write(evaluation, tmp_path / "none" / "a.html")
