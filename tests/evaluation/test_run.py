"""Many pictures: resumed after any end, bad ones reported."""

import json
from pathlib import Path

import pytest
import torch

import detr_attnviz as av
from detr_attnviz.detector import Detector
from detr_attnviz.errors import ChoiceError
from detr_attnviz.evaluation.choice import parse_methods
from detr_attnviz.evaluation.picture import Examiner, Findings
from detr_attnviz.evaluation.results import Evaluation
from detr_attnviz.evaluation.run import Progress, evaluate
from detr_attnviz.evaluation.settings import EvaluationSettings
from tests.families.test_module import Notebook
from tests.tiny import tiny_detector, write_picture

SETTINGS = EvaluationSettings(
    parse_methods("raw"), heads=(), shares=(0.5,), threshold=0.0, top_k=1, shortest_px=64, longest_px=96
)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return tiny_detector()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        write_picture(tmp_path / "photos" / name, 80 + number)
    return tmp_path / "photos"


def rows(evaluation: Evaluation) -> list[object]:
    return [picture.as_row() for picture in evaluation.pictures]


def test_every_picture_once_in_order(detector: Detector, photos: Path) -> None:
    states: list[Progress] = []
    found = evaluate(detector, photos, SETTINGS, on_progress=states.append)
    assert [picture.picture for picture in found.pictures] == ["a.png", "b.png", "c.png"]
    assert found.queries == 3
    assert [state.pictures for state in states] == [0, 1, 2, 3]
    assert {state.total for state in states} == {3}
    assert states[-1].forwards == sum(picture.forwards for picture in found.pictures)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")  # the fork's own
def test_a_built_module_that_takes_one_picture_at_a_time(photos: Path) -> None:
    fork = av.load(Notebook().eval(), device="cpu")
    settings = EvaluationSettings(parse_methods("raw,relevance"), shares=(0.5,), threshold=0.0, top_k=1, shortest_px=64)
    found = evaluate(fork, photos, settings)
    assert found.queries == 3
    assert not found.failures


def test_a_bad_picture_is_a_failure(detector: Detector, photos: Path) -> None:
    (photos / "b.png").write_bytes(b"no picture")
    found = evaluate(detector, [photos], SETTINGS)
    assert [picture.picture for picture in found.pictures] == ["a.png", "c.png"]
    ((name, why),) = found.failures
    assert name == "b.png"
    assert why.startswith("not a picture that can be read")


def test_an_interrupted_run_goes_on_and_gives_the_same(
    detector: Detector, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = evaluate(detector, photos, SETTINGS, results=tmp_path / "straight.jsonl")
    examine, calls = Examiner.examine, []

    def interrupted(self: Examiner, image: object) -> Findings:
        calls.append(image)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return examine(self, image)  # type: ignore[arg-type]

    monkeypatch.setattr(Examiner, "examine", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(detector, photos, SETTINGS, results=tmp_path / "broken.jsonl")
    resumed = evaluate(detector, photos, SETTINGS, results=tmp_path / "broken.jsonl")
    assert (resumed.resumed, len(calls)) == (2, 4)
    assert rows(resumed) == rows(straight)
    assert (tmp_path / "broken.jsonl").read_bytes() == (tmp_path / "straight.jsonl").read_bytes()


def test_a_changed_picture_is_done_again(detector: Detector, photos: Path, tmp_path: Path) -> None:
    evaluate(detector, photos, SETTINGS, results=tmp_path / "r.jsonl")
    write_picture(photos / "b.png", 70)
    assert evaluate(detector, photos, SETTINGS, results=tmp_path / "r.jsonl").resumed == 2


def test_other_settings_and_other_models_do_all_again(detector: Detector, photos: Path, tmp_path: Path) -> None:
    evaluate(detector, photos, SETTINGS, results=tmp_path / "r.jsonl")
    others = EvaluationSettings(parse_methods("raw"), heads=(), shares=(0.25,), threshold=0.0, shortest_px=64)
    assert evaluate(detector, photos, others, results=tmp_path / "r.jsonl").resumed == 0
    other = tiny_detector()
    with torch.no_grad():
        other.family.model.class_embed.bias[1] += 1  # type: ignore[attr-defined]
    assert evaluate(other, photos, SETTINGS, results=tmp_path / "r.jsonl").resumed == 0
    assert evaluate(detector, photos, SETTINGS, results=tmp_path / "r.jsonl").resumed == 3


def test_numbers_do_not_depend_on_what_a_picture_is_called(detector: Detector, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "z.png").write_bytes((photos / "a.png").read_bytes())
    alone = evaluate(detector, tmp_path / "z.png", SETTINGS).pictures[0].as_row()
    among = evaluate(detector, photos, SETTINGS).pictures[0].as_row()
    assert json.dumps(alone["queries"]) == json.dumps(among["queries"])


def test_what_no_picture_can_answer_ends_the_run(detector: Detector, photos: Path) -> None:
    with pytest.raises(ChoiceError, match="no class 'zebra'"):
        evaluate(detector, photos, EvaluationSettings(parse_methods("raw"), labels=("zebra",)))
    with pytest.raises(ChoiceError, match="no such file or folder"):
        evaluate(detector, photos / "none", SETTINGS)
