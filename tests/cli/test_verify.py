"""`attnviz verify`: PASS and FAIL are exit codes."""

from pathlib import Path

import pytest

from detr_attnviz.cli.verify_report import print_proof, proof_as_json
from detr_attnviz.proof import SiteProof, Verification
from detr_attnviz.recording.records import DenseRecord
from tests.cli.conftest import Attnviz


def test_pass(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    done = attnviz("verify", picture, "-c", tiny_checkpoint, "--nheads", 4)
    assert done.code == 0
    assert "PASS" in done.out
    assert "decoder.1.cross" in done.out
    assert "the same to the bit" in done.out


def test_fail(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = DenseRecord.map
    monkeypatch.setattr(DenseRecord, "map", lambda self, *args: right(self, *args) * 1.001)
    done = attnviz("verify", picture, "-c", tiny_checkpoint)
    assert done.code == 1
    assert "FAIL" in done.out


def test_json_has_null_for_what_is_not_a_number(
    attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = DenseRecord.map
    monkeypatch.setattr(DenseRecord, "map", lambda self, *args: right(self, *args) * float("nan"))
    done = attnviz("verify", picture, "-c", tiny_checkpoint, "--json")
    assert (done.code, done.data["sites"][0]["difference"]) == (1, None)


def test_json(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    done = attnviz("verify", picture, "-c", tiny_checkpoint, "--json")
    assert done.data["passed"] is True
    assert done.data["sites"][0]["site"] == "encoder.0.self"
    assert done.data["sites"][0]["difference"] <= 1e-6
    assert set(done.data["sites"][0]) == {"site", "shape", "difference", "row_error", "padding_mass"}


SAMPLED = SiteProof("encoder.0.self", (8, 13294, 16), 3e-7, 2e-7, None, "output", 1e-5)
DENSE = SiteProof("decoder.0.self", (8, 300, 300), 2e-6, 1e-7, None, "weights", 1e-5)
UNPROVEN = SiteProof("decoder.0.cross", (8, 300, 16), None, None, None, "nothing")


def printed(capsys: pytest.CaptureFixture[str], *sites: SiteProof, same: bool = True) -> list[str]:
    print_proof(Verification(sites, same))
    return capsys.readouterr().out.splitlines()


def test_a_table_says_what_was_compared_where_it_is_not_weights_throughout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(capsys, SAMPLED, DENSE, UNPROVEN)
    rows = {line.split()[0]: line for line in lines if line.startswith(("encoder", "decoder"))}
    assert rows["encoder.0.self"].split("  ")[-1].strip() == "ok"
    assert "8 × 13294 × 16  output " in rows["encoder.0.self"]
    assert " weights " in rows["decoder.0.self"]
    assert rows["decoder.0.cross"].endswith("not proven")
    assert lines[-1] == "PASS"
    assert "not proven: decoder.0.cross: nothing tells what" in lines[-2]


def test_nothing_proven_is_no_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, UNPROVEN)[-1] == "NOT PROVEN"
    assert printed(capsys, UNPROVEN, same=False)[-1] == "FAIL"


def test_a_table_of_weights_has_no_column_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert "compared with" not in " ".join(printed(capsys, DENSE))


def test_json_says_what_was_compared_where_it_is_not_the_usual() -> None:
    sites = proof_as_json(Verification((SAMPLED, UNPROVEN), True))["sites"]
    assert [(site["against"], site["tolerance"]) for site in sites] == [("output", 1e-5), ("nothing", 1e-6)]
    assert sites[1]["difference"] is None
