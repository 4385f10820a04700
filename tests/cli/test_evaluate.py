"""`attnviz evaluate`: tables, files, resuming, and one line for what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from detr_attnviz.evaluation.picture import Examiner, Findings
from tests.cli.conftest import Attnviz, Outcome
from tests.cli.test_startup import modules_of
from tests.tiny import write_picture

SMALL = ("--shortest-px", 64, "--longest-px", 96, "--shares", "50", "--threshold", 0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(("a.png", "b.png")):
        write_picture(tmp_path / "photos" / name, 80 + number)
    return tmp_path / "photos"


@pytest.fixture
def evaluate(attnviz: Attnviz, tiny_checkpoint: Path, photos: Path) -> Any:
    """``attnviz evaluate photos`` by raw attention, and more options."""

    def evaluate(*args: object, inputs: tuple[object, ...] = ("photos",)) -> Outcome:
        chosen = () if "--methods" in args else ("--methods", "raw,raw:max")
        return attnviz("evaluate", *inputs, "-c", tiny_checkpoint, "--nheads", 4, *SMALL, *chosen, *args)

    return evaluate


def test_tables_on_stdout_and_the_cost_ahead_on_stderr(evaluate: Any) -> None:
    outcome = evaluate()
    assert outcome.code == 0, outcome.err
    assert "4 queries in 2 pictures; ± is the standard error over pictures" in outcome.out
    for words in ("Class logit", "Box", "Place", "Sanity", "Heads of decoder cross-attention", "shuffled weights"):
        assert words in outcome.out
    # 2 queries × 4 maps × 2 directions × 1 share, and the wholly removed picture, over 2 baselines; 8 heads
    assert "2 pictures, each with at most 42 forwards" in outcome.err


def test_every_method_by_default(evaluate: Any) -> None:
    outcome = evaluate("--methods", "raw,rollout,attn-gradcam,relevance,value-norm,gradcam", "--heads", "none")
    assert outcome.code == 0, outcome.err
    assert all(f"\n{name} " in outcome.out for name in ("raw", "rollout", "attn-gradcam", "relevance", "gradcam"))
    assert "Heads of" not in outcome.out


def test_without_controls(evaluate: Any) -> None:
    outcome = evaluate("--no-controls", "--heads", "none", "--top-k", 1)
    assert "random" not in outcome.out
    assert "at most 10 forwards" in outcome.err


def test_a_folder_of_reports_and_a_second_run_that_computes_nothing(evaluate: Any, tmp_path: Path) -> None:
    outcome = evaluate("-o", "out")
    assert outcome.code == 0, outcome.err
    assert "wrote out/evaluation.html" in outcome.out
    assert "wrote out/evaluation.heads-decoder-cross.png" in outcome.out
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    outcome = evaluate("-o", "out")
    assert "2 evaluated before" in outcome.out
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_reports_among_the_pictures_are_no_pictures(evaluate: Any) -> None:
    assert evaluate("-o", "photos/out", "--heads", "none").code == 0
    outcome = evaluate("-o", "photos/out", "--heads", "none")
    assert "4 queries in 2 pictures, 2 evaluated before" in outcome.out


def test_json_is_all_there_is_on_stdout(evaluate: Any, photos: Path, tmp_path: Path) -> None:
    (photos / "c.png").write_bytes(b"no picture")
    outcome = evaluate("--json", "-o", "report.csv")
    assert outcome.code == 1
    data = outcome.data
    assert (data["pictures"], data["queries"]) == (3, 4)
    assert data["failures"][0]["picture"] == "c.png"
    assert data["provenance"]["checkpoint"] == "tiny.pth"
    assert data["settings"]["shares"] == [0, 0.5, 1]
    assert data["files"] == ["report.csv", "report.queries.csv", "report.heads.csv"]
    assert all((tmp_path / name).exists() for name in data["files"])


def test_failures_are_listed(evaluate: Any, photos: Path) -> None:
    (photos / "c\x1b[31m.png").write_bytes(b"no picture")
    outcome = evaluate("--heads", "none", "--no-controls")
    assert outcome.code == 1
    assert "failed because" in outcome.out
    assert "not a picture that can be read" in outcome.out
    assert "\x1b[31m" not in outcome.out


def test_nothing_reaches_the_threshold(evaluate: Any) -> None:
    outcome = evaluate("--threshold", 1, "-o", "curves.png")
    assert outcome.code == 0
    assert "nothing to evaluate in 2 pictures: no detection reaches the score 1 (--threshold)" in outcome.out
    assert "wrote" not in outcome.out


def test_ctrl_c_says_how_to_go_on(evaluate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    examine, calls = Examiner.examine, []

    def interrupted(self: Examiner, image: Any) -> Findings:
        calls.append(image)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return examine(self, image)

    monkeypatch.setattr(Examiner, "examine", interrupted)
    outcome = evaluate("-o", "report.html")
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err.splitlines()[-1] == "attnviz: stopped after 1 picture; the same command goes on from there"
    outcome = evaluate("-o", "report.html")
    assert outcome.code == 0
    assert "1 evaluated before" in outcome.out


def test_ctrl_c_without_output(evaluate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Examiner, image: Any) -> Findings:
        raise KeyboardInterrupt

    monkeypatch.setattr(Examiner, "examine", interrupted)
    outcome = evaluate()
    assert outcome.code == 130
    assert "stopped after 0 pictures; with -o the same command would go on" in outcome.err


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--methods", "relevence"), 1, "did you mean relevance"),
        (("--methods", "decompose"), 1, "rank no cells"),
        (("--methods", "raw@9"), 1, "raw@9 cannot be evaluated: no layer 9"),
        (("--label", "zebra"), 1, "no class 'zebra'"),
        (("-o", "report.doc"), 1, "no report is called .doc"),
        (("--heads", "all"), 1, "kinds are cross, encoder, decoder-self; or none"),
        (("--shares", "5,x"), 2, "give percentages in 0–100"),
        (("--shares", "5,120"), 2, "give percentages in 0–100"),
        (("--top-k", 0), 2, "top-k"),
    ],
)
def test_what_is_wrong_is_told(evaluate: Any, args: tuple[object, ...], code: int, message: str) -> None:
    outcome = evaluate(*args)
    assert outcome.code == code
    assert outcome.out == ""
    assert message in " ".join(outcome.err.replace("│", " ").split())


def test_another_program_s_results(evaluate: Any, tmp_path: Path) -> None:
    (tmp_path / "report.results.jsonl").write_text("mine\n")
    outcome = evaluate("-o", "report.html")
    assert outcome.code == 1
    assert "no results of attnviz evaluate" in outcome.err


def test_nothing_heavy_is_imported_for_help_and_wrong_options(tmp_path: Path) -> None:
    write_picture(tmp_path / "street.png")
    code, modules = modules_of("evaluate --help", tmp_path)
    assert code == 0
    assert not modules & {"numpy", "torch", "matplotlib", "PIL"}
    for wrong, expected in (("--methods zebra", 1), ("--heads all", 1), ("--shares x", 2), ("-o a.doc", 1)):
        code, modules = modules_of(f"evaluate street.png {wrong}", tmp_path)
        assert (code, "torch" in modules) == (expected, False), wrong


def test_help_fits_a_narrow_terminal(attnviz: Attnviz, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, attnviz("evaluate", "--help").out.splitlines())) <= 80


def test_help_has_every_option_and_examples(attnviz: Attnviz) -> None:
    lines = attnviz("evaluate", "--help").out
    words = " ".join(lines.replace("│", " ").split())
    for piece in ("METHOD[:HEAD][@LAYERS]", "relevance, value-norm", "--controls", "--heads", "--shares", "--seed"):
        assert piece in words
    assert "\n attnviz evaluate " in lines


def test_results_file_is_json_lines(evaluate: Any, tmp_path: Path) -> None:
    evaluate("-o", "report.json", "--heads", "none")
    lines = (tmp_path / "report.results.jsonl").read_text().splitlines()
    assert [json.loads(line)["picture"] for line in lines] == ["a.png", "b.png"]
