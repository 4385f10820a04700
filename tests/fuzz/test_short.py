"""Some hundred cases of every target, the same ones each time; `python -m tests.fuzz` runs as many as one likes."""

import json
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import campaign, cases
from tests.fuzz.cases import TARGETS, case, fault_of, target

CAN_TELL_MEMORY = Path("/proc/self/clear_refs").exists()
COUNTS = {"checkpoint": 250, "architecture": 40, "picture": 100, "options": 120, "manifest": 150}
SEED = 2026


@pytest.mark.filterwarnings("ignore")  # of Pillow and torch about damaged files
@pytest.mark.parametrize("name", TARGETS)
def test_seeded_cases_find_nothing(name: str) -> None:
    faults = {number: fault_of(name, case(name, SEED, number)) for number in range(COUNTS[name])}
    assert {number: fault.text for number, fault in faults.items() if fault is not None} == {}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_cases_follow_from_the_seed_alone(name: str) -> None:
    assert case(name, 7, 3) == case(name, 7, 3)
    assert len({case(name, 7, number) for number in range(20)}) > 10


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_can_be_mutated(name: str) -> None:
    fuzzed = target(name)
    for number, data in enumerate((b"", b"{}", b"[]", b"\xff" * 30, fuzzed.seeds()[0])):
        assert isinstance(fuzzed.mutate(data, Random(number)), bytes)


def test_a_fault_is_told_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(data: bytes) -> None:
        json.loads(data)

    monkeypatch.setattr(target("manifest"), "run", run)
    fault = cases.fault_of("manifest", b"{")
    assert fault is not None
    assert fault.kind == "JSONDecodeError"
    assert "Traceback" in fault.text
    assert cases.fault_of("manifest", b"{}") is None


def test_the_watchdog_keeps_what_it_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "MOST_S", 2.0)
    monkeypatch.setattr(campaign, "MOST_WAITED_S", 3.0)
    report = campaign.run("weak", 7, 0, tmp_path)
    kinds = {kind.partition(" ")[0] for kind in report.findings}
    assert kinds == {"ValueError", "hang", "the", *(["memory"] if CAN_TELL_MEMORY else [])}
    assert {path.read_bytes() for path in (tmp_path / "weak").iterdir() if not path.suffix} >= {
        b"raise",
        b"end",
        b"hang",
    }
    assert report.cases == 7
    assert "7 cases" in report.line()


def test_a_target_that_cannot_begin_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="(?s)ended between two cases.*No module named"):
        campaign.run("none", 1, 0, tmp_path)
