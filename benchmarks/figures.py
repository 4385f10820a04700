"""Repeated measurements, their medians, and what these are held against."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

Values = tuple[float, ...]
Unit = Literal["s", "ms", "MB", "kB", "%", "difference"]


@dataclass(frozen=True, slots=True)
class Goal:
    """The median is to be at most ``limit`` × the median of the row called ``of``.

    Without ``of``, at most ``limit`` itself; without ``limit``, the ratio is only told.
    """

    of: str = ""
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured several times."""

    name: str
    unit: Unit
    values: Values
    goals: tuple[Goal, ...] = ()

    @property
    def median(self) -> float:
        return median(self.values)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one goal: ``value`` is the ratio (or the median itself when the goal names no other row)."""

    goal: Goal
    value: float

    @property
    def is_met(self) -> bool | None:
        """None when there was nothing to meet."""
        return None if self.goal.limit is None else self.value <= self.goal.limit


@dataclass(frozen=True, slots=True)
class Table:
    """Rows measured together, with remarks for their reader. Row names are unique."""

    name: str
    title: str
    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        unknown = {goal.of for row in self.rows for goal in row.goals if goal.of} - set(names)
        assert len(set(names)) == len(names), f"{self.name}: two rows of one name"
        assert not unknown, f"{self.name}: no row {sorted(unknown)} to compare with"

    def verdicts(self, row: Row) -> tuple[Verdict, ...]:
        """Every goal of a row, judged by medians."""
        medians = {other.name: other.median for other in self.rows}
        return tuple(Verdict(goal, row.median / medians[goal.of] if goal.of else row.median) for goal in row.goals)

    def as_json(self) -> dict[str, Any]:
        """Plain data with every raw value, and what was concluded from them."""
        rows = [
            {
                **asdict(row),
                "median": row.median,
                "verdicts": [{"value": one.value, "is_met": one.is_met} for one in self.verdicts(row)],
            }
            for row in self.rows
        ]
        return {"name": self.name, "title": self.title, "rows": rows, "remarks": list(self.remarks)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Table":
        """The same from what ``as_json`` gave; conclusions are drawn anew."""
        rows = tuple(
            Row(row["name"], row["unit"], tuple(row["values"]), tuple(Goal(**goal) for goal in row["goals"]))
            for row in data["rows"]
        )
        return cls(data["name"], data["title"], rows, tuple(data["remarks"]))


def by_turns(runs: int, calls: Mapping[str, Callable[[], float]], *, uncounted: int = 1) -> dict[str, Values]:
    """The results of every call, called by turns ``runs`` times after ``uncounted`` turns to warm up.

    Every other turn goes backwards, so that no call always follows the same other one.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(uncounted + runs):
        for name in list(calls)[:: -1 if turn % 2 else 1]:
            value = calls[name]()
            if turn >= uncounted:
                found[name].append(value)
    return {name: tuple(values) for name, values in found.items()}
