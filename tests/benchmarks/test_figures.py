import pytest

from benchmarks.figures import Goal, Row, Table, by_turns

PEER = Row("peer", "s", (1.0, 9.0, 2.0))
OURS = Row("ours", "s", (0.5, 0.7, 0.1), (Goal("peer", 0.25), Goal("peer", 0.2), Goal("peer"), Goal(limit=0.5)))


def test_ratio_is_that_of_medians() -> None:
    verdicts = Table("t", "", (PEER, OURS)).verdicts(OURS)
    assert [one.value for one in verdicts] == [0.25, 0.25, 0.25, 0.5]


def test_goal_is_met_up_to_its_limit_and_without_one_there_is_nothing_to_meet() -> None:
    assert [one.is_met for one in Table("t", "", (PEER, OURS)).verdicts(OURS)] == [True, False, None, True]


def test_goal_against_a_row_that_is_not_there() -> None:
    with pytest.raises(AssertionError, match="no row"):
        Table("t", "", (OURS,))


def test_json_keeps_raw_values_and_gives_the_table_back() -> None:
    table = Table("t", "title", (PEER, OURS), ("a remark",))
    data = table.as_json()
    assert data["rows"][0]["values"] == (1.0, 9.0, 2.0)
    assert data["rows"][1]["verdicts"][1] == {"value": 0.25, "is_met": False}
    assert Table.from_json(data) == table


def test_calls_take_turns_and_the_first_turn_does_not_count() -> None:
    asked: list[str] = []

    def call(name: str, value: float) -> float:
        asked.append(name)
        return value + len(asked)

    found = by_turns(2, {"a": lambda: call("a", 0.0), "b": lambda: call("b", 100.0)})
    assert asked == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": (4.0, 5.0), "b": (103.0, 106.0)}


def test_no_turn_is_left_out_where_there_is_no_warming_up() -> None:
    assert by_turns(2, {"a": lambda: 1.0}, uncounted=0) == {"a": (1.0, 1.0)}
