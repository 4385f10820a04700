"""What the table of transformers' models makes of answers (the worker is played), and small models asked for real."""

from typing import Any

import pytest

from benchmarks.plan import Plan
from benchmarks.tables import families
from benchmarks.tables.families import MODELS

PLAIN_S = {"rt_detr": 0.5, "grounding-dino": 4.0}
FEW = 5


class PlayedWorker:
    """Recording costs 2 % on every model but YOLOS, where it costs 20 %; transformers has no RF-DETR."""

    def __init__(self, module: str) -> None:
        self.model_type = ""

    def __enter__(self) -> "PlayedWorker":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def ask(self, do: str, **given: Any) -> Any:
        self.model_type = given.get("model_type", self.model_type)
        plain = PLAIN_S.get(self.model_type, 0.1)
        return {
            "load": None if self.model_type == "rf_detr" else {"attention": "sdpa", "sites": 18},
            "plain": plain,
            "recorded": {"forward": plain * (1.2 if self.model_type == "yolos" else 1.02), "first": 0.003},
            "held": 25_000_000,
        }[do]


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Plan:
    monkeypatch.setattr(families, "Worker", PlayedWorker)
    monkeypatch.setattr(families, "has_package", lambda name: True)
    return Plan(tmp_path, runs=FEW + 2)


def test_recording_may_cost_a_twentieth_of_the_plain_forward(plan: Plan) -> None:
    table = families.measure(plan)
    verdicts = {row.name.partition(",")[0]: table.verdicts(row)[0] for row in table.rows if row.goals}
    assert len(verdicts) == len(MODELS) - 1
    assert verdicts["RT-DETR R50"].value == pytest.approx(1.02)
    assert [name for name, verdict in verdicts.items() if not verdict.is_met] == ["YOLOS-small"]


def test_memory_and_first_map_are_told_of_each(plan: Plan) -> None:
    rows = {row.name: row for row in families.measure(plan).rows}
    assert rows["RT-DETR R50, 640 × 640: memory that the records hold"].values == (25.0,)
    first = rows["RT-DETR R50, 640 × 640: one query's map, all heads, first of a site"]
    assert (first.unit, first.values) == ("ms", (3.0,) * plan.runs)
    assert "RT-DETR R50, 640 × 640: all 18 sites recorded" in rows


def test_long_forward_is_measured_less_often_and_that_is_said(plan: Plan) -> None:
    table = families.measure(plan)
    runs = {len(row.values) for row in table.rows if row.name.startswith("Grounding DINO") and row.unit == "s"}
    assert runs == {FEW}
    assert table.remarks[-1] == f"Grounding DINO tiny, 800 × 1066: {FEW} runs"


def test_family_that_transformers_lacks_is_left_out_and_that_is_said(plan: Plan) -> None:
    table = families.measure(plan)
    assert not [row for row in table.rows if row.name.startswith("RF-DETR")]
    assert "RF-DETR base was left out: the installed transformers has no rf_detr" in table.remarks


def test_without_transformers_the_table_is_empty_and_says_so(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "has_package", lambda name: name != "transformers")
    table = families.measure(plan)
    assert table.rows == ()
    assert "transformers is not installed" in table.remarks[0]


@pytest.mark.parametrize(
    ("model_type", "millions"),
    [
        ("conditional_detr", 44),
        ("dab-detr", 44),
        ("yolos", 30.7),
        ("deformable_detr", 40),
        ("rt_detr", 42),
        ("d_fine", 31),
        ("lw_detr", 12.1),
        ("rf_detr", 29 + 2.9),  # transformers keeps the heads of 13 groups of queries, which only training needs
        ("grounding-dino", 172),
    ],
)
def test_models_are_as_large_as_the_published_ones(model_type: str, millions: float) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    import torch

    from benchmarks.peers import family_models

    assert model_type in {model.model_type for model in MODELS}
    if not family_models.is_there(model_type):
        pytest.skip(f"the installed transformers has no {model_type}")
    with torch.device("meta"):
        model = family_models.built(model_type)
    assert sum(weight.numel() for weight in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.04)


@pytest.mark.parametrize("model_type", [model.model_type for model in MODELS])
def test_model_is_timed_with_and_without_recording(model_type: str) -> None:
    watched = _small(model_type)
    answer = watched.recorded()
    assert watched.plain() > 0
    assert min(answer["forward"], answer["first"]) > 0
    assert watched.held() > 0


def test_what_several_sites_saw_is_weighed_once() -> None:
    """YOLOS has three sites a layer, parts of one attention, which keep what went into it: a row for every token."""
    tokens = (128 // 16) ** 2 + 1 + 6  # patches, class, detections
    layers, width, float_bytes = 2, 32, 4
    watched = _small("yolos")
    assert len(watched.detector.sites) == 3 * layers
    assert watched.held() == layers * tokens * width * float_bytes


def _small(model_type: str) -> Any:
    pytest.importorskip("transformers", reason="transformers is not installed")
    from benchmarks.peers.watched import Watched
    from tests.hf.tiny_dense import tiny

    watched = Watched()
    watched.hold(tiny(model_type), 128, 128)
    return watched
