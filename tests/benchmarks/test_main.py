from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import TABLES, main
from benchmarks.figures import Row, Table
from benchmarks.machine import machine_facts


def test_unknown_table_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["forward", "backward"])
    assert "no table backward: tables are forward," in capsys.readouterr().err


def test_measured_tables_are_shown_again_without_measuring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "runs.json"
    tables = [Table(name, f"title of {name}", (Row("a", "s", (1.0,)),)) for name in TABLES]
    report.append(file, {"machine": machine_facts("cpu"), "tables": [table.as_json() for table in tables]})
    main(["--show", str(file), "cold", "--markdown"])
    shown = capsys.readouterr().out
    assert "| **title of cold** |" in shown
    assert "title of peers" not in shown
    assert "Medians of alternating runs on" in shown
