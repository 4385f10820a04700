from pathlib import Path

from benchmarks import report
from benchmarks.figures import Goal, Row, Table

TABLE = Table(
    "forward",
    "the forward",
    (
        Row("cold: peer | 1", "s", (1.0, 2.0, 3.0)),
        Row("cold: ours", "s", (0.5,), (Goal("cold: peer | 1", 0.2), Goal(limit=1))),
        Row("logits", "difference", (1.234e-6,)),
    ),
    ("a remark",),
)


def test_text_has_median_spread_ratio_goal_and_verdict() -> None:
    lines = report.as_text(TABLE).splitlines()
    assert lines[0] == "forward: the forward"
    assert lines[2].split() == ["cold:", "peer", "|", "1", "2.00", "s", "1.00", "s", "–", "3.00", "s"]
    assert lines[3].split("  ")[-1] == "missed"
    assert "0.250 × peer | 1" in lines[3]
    assert lines[4].split() == ["≤", "1.00", "s", "met"]
    assert lines[5].split() == ["logits", "1.2e-06"]
    assert lines[6] == "a remark"


def test_markdown_has_a_line_a_row_and_names_the_machine() -> None:
    lines = report.as_markdown([TABLE], "2 cores").splitlines()
    assert lines[2] == "| **the forward** | | | | |"
    assert lines[3] == "| cold: peer \\| 1 | 2.00 s |  |  |  |"
    assert lines[4] == "| cold: ours | 0.500 s | 0.250 × peer \\| 1 | ≤ 0.2 | missed |"
    assert lines[-1] == "Medians of alternating runs on 2 cores."


def test_amounts_have_three_digits() -> None:
    assert [report.amount(value, "ms") for value in (0.0123, 1.234, 12.34, 123.4, 1234.5)] == [
        "0.012 ms",
        "1.23 ms",
        "12.3 ms",
        "123 ms",
        "1234 ms",
    ]


def test_file_keeps_every_run_and_the_newest_of_each_table_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    newer = Table("forward", "newer", (Row("a", "s", (1.0,)),))
    other = Table("cold", "other", (Row("a", "s", (1.0,)),))
    for machine, tables in (("old", [TABLE, other]), ("new", [newer])):
        report.append(file, {"machine": {"cpu": machine}, "tables": [table.as_json() for table in tables]})
    shown, machine_shown = report.latest_tables(file)
    assert shown == {"forward": newer, "cold": other}
    assert machine_shown == {"cpu": "new"}
