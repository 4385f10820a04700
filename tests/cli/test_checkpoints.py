"""`attnviz checkpoints` and `attnviz checkpoints download`."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from detr_attnviz.checkpoints import zoo
from detr_attnviz.cli.checkpoints import checkpoints_app
from detr_attnviz.errors import ChoiceError
from tests.checkpoints.server import Behaviour, serving

CONTENT = b"weights" * 1000

app = typer.Typer()
app.add_typer(checkpoints_app, name="checkpoints")


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


def run(*arguments: str, columns: int = 80) -> tuple[str, str]:
    runner = CliRunner(env={"COLUMNS": str(columns), "TERM": "dumb"})
    result = runner.invoke(app, ["checkpoints", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout, result.stderr


@pytest.mark.parametrize("columns", [80, 200])
def test_list_says_what_is_on_disk(columns: int) -> None:
    zoo.local_path("detr-r101").parent.mkdir(parents=True)
    zoo.local_path("detr-r101").touch()
    out, err = run(columns=columns)
    lines = {line.split()[0]: line for line in out.splitlines()[2:] if line[0] != " "}
    assert lines.keys() == {"demo", *(entry.name for entry in zoo.known())}
    assert " yes" in lines["demo"]
    assert "comes with the package" in lines["demo"]
    assert " yes" in lines["detr-r101"]
    assert " no" in lines["detr-r50"]
    assert "43.5" in lines["detr-r101"]
    assert max(len(line) for line in out.splitlines()) <= columns
    assert "attnviz checkpoints download NAME" in err


def test_list_as_json() -> None:
    rows = json.loads(run("--json")[0])
    assert [row["name"] for row in rows] == ["demo", *(entry.name for entry in zoo.known())]
    assert len({tuple(row) for row in rows}) == 1
    assert (rows[0]["url"], rows[0]["path"]) == (None, str(zoo.DEMO_PATH))
    assert rows[2]["dilation"] is True
    assert rows[1]["on_disk"] is False


def test_download_prints_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(zoo.find("detr-r50"), file=f"detr-r50-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth")
    monkeypatch.setattr(zoo, "_KNOWN", (entry,))
    with serving(Behaviour(CONTENT)) as url:
        monkeypatch.setenv("ATTNVIZ_DOWNLOAD_URL", url)
        out, _ = run("download", "detr-r50")
        assert Path(out.strip()).read_bytes() == CONTENT
        out, err = run("download", "detr-r50", "--json")
    assert "was on disk already" in err
    assert json.loads(out)["path"] == str(zoo.local_path("detr-r50"))


def test_download_of_a_damaged_file_replaces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(zoo.find("detr-r50"), file=f"detr-r50-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth")
    monkeypatch.setattr(zoo, "_KNOWN", (entry,))
    zoo.local_path("detr-r50").parent.mkdir(parents=True)
    zoo.local_path("detr-r50").write_bytes(CONTENT[:99])
    with serving(Behaviour(CONTENT)) as url:
        monkeypatch.setenv("ATTNVIZ_DOWNLOAD_URL", url)
        out, err = run("download", "detr-r50")
    assert "cut off or damaged: it is fetched anew" in err
    assert "on disk already" not in err
    assert Path(out.strip()).read_bytes() == CONTENT


def test_demo_needs_no_download() -> None:
    out, err = run("download", "demo")
    assert (out.strip(), "comes with the package and needs no download" in err) == (str(zoo.DEMO_PATH), True)
    assert json.loads(run("download", "demo", "--json")[0])["path"] == str(zoo.DEMO_PATH)


def test_json_before_download_is_a_usage_error() -> None:
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(
        app, ["checkpoints", "--json", "download", "demo"]
    )
    assert result.exit_code == 2
    assert "attnviz checkpoints download NAME --json" in result.stderr


def test_download_of_an_unknown_name() -> None:
    with pytest.raises(ChoiceError, match="known names are detr-r50"):
        run("download", "detr-r34")
