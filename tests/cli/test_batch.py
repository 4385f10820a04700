"""`attnviz batch`: a folder of tiny images to a tree of files, twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from detr_attnviz.batch.write import OutputFolder
from detr_attnviz.cli.options import ModelOptions
from detr_attnviz.recording.records import DenseRecord
from tests.cli.conftest import Attnviz, Outcome
from tests.scarce import Scarce
from tests.tiny import write_picture

SMALL = ("--shortest-px", 64, "--longest-px", 96)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name in ("a.jpg", "a.png", "sub/a.jpg"):
        write_picture(tmp_path / "photos" / name)
    return tmp_path / "photos"


@pytest.fixture
def batch(attnviz: Attnviz, tiny_checkpoint: Path, photos: Path) -> Any:
    """``attnviz batch photos -o out`` of two queries a picture, and more options."""

    def batch(*args: object, inputs: tuple[object, ...] = ("photos",)) -> Outcome:
        chosen = () if "--threshold" in args or "--kind" in args else ("--threshold", 0, "--top-k", 2)
        return attnviz("batch", *inputs, "-o", "out", "-c", tiny_checkpoint, *SMALL, *chosen, *args)

    return batch


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_a_folder_twice(batch: Any, tmp_path: Path) -> None:
    outcome = batch()
    assert outcome.code == 0, outcome.err
    assert "3 pictures: wrote 6 files to out in" in outcome.out
    assert "images/s" in outcome.out
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    outcome = batch()
    assert outcome.code == 0
    assert "wrote 0 files" in outcome.out
    assert "left as they are: 3 pictures" in outcome.out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")} == before


def test_exports_and_sheets(batch: Any, tmp_path: Path) -> None:
    assert batch("--per", "image", "--export", "overlay, heatmap,arrays").code == 0
    names = {
        f"{name}.{end}" for name in ("a.jpg", "a.png", "sub/a.jpg") for end in ("overlay.png", "heatmap.png", "npz")
    }
    assert written(tmp_path / "out") == names | {"manifest.jsonl"}


def test_the_style_is_the_export_when_none_is_named(batch: Any, tmp_path: Path) -> None:
    assert batch("--style", "contour").code == 0
    assert all(name.endswith((".contour.png", ".jsonl")) for name in written(tmp_path / "out"))


def test_json_is_all_there_is_on_stdout(batch: Any, photos: Path) -> None:
    (photos / "b.jpg").write_bytes(b"no picture")
    outcome = batch("--json")
    assert outcome.code == 1
    data = outcome.data
    counts = {name: data[name] for name in ("pictures", "written", "skipped", "empty", "failed")}
    assert counts == {"pictures": 4, "written": 6, "skipped": 0, "empty": 0, "failed": 1}
    assert data["failures"][0]["picture"] == "b.jpg"
    assert data["provenance"]["checkpoint"] == "tiny.pth"
    assert data["settings"]["request"]["top_k"] == 2
    lines = Path(data["manifest"]).read_text().splitlines()
    assert sum("error" in json.loads(line) for line in lines) == 1
    assert json.loads(lines[0])["settings"]["request"]["top_k"] == 2


def test_failures_are_listed_and_the_exit_code_says_so(batch: Any, photos: Path) -> None:
    for number in range(23):
        (photos / f"z{number:02}\x1b[31m\n.jpg").write_bytes(b"no picture")
    outcome = batch()
    assert outcome.code == 1
    assert "wrote 6 files" in outcome.out
    assert outcome.out.count("not a picture") == 20
    assert "and 3 more" in outcome.out
    assert "\x1b[31m" not in outcome.out


def test_a_list_of_pictures(batch: Any, tmp_path: Path) -> None:
    (tmp_path / "photos" / "list.txt").write_text("a.png\nsub/a.jpg\n")
    assert "2 pictures" in batch(inputs=("@photos/list.txt",)).out


def test_the_best_stand_in_for_sure_detections_and_that_is_said(batch: Any, tmp_path: Path) -> None:
    outcome = batch("--threshold", 1)
    assert outcome.code == 0
    assert "in 3 pictures no detection reaches 1, so the best were drawn instead" in outcome.out
    assert len([name for name in written(tmp_path / "out") if name.endswith(".png")]) == 9


def test_without_fallback_a_sure_detection_is_needed(batch: Any, tmp_path: Path) -> None:
    outcome = batch("--threshold", 1, "--fallback", 0)
    assert outcome.code == 0
    assert "nothing to show in 3 pictures: no detection has a score of 1 or more" in outcome.out
    assert written(tmp_path / "out") == {"manifest.jsonl"}


def test_decoder_self_attention_as_a_matrix(batch: Any, tmp_path: Path) -> None:
    assert batch("--kind", "decoder-self", "--export", "heatmap", "--per", "image").code == 0
    assert "a.png.heatmap.png" in written(tmp_path / "out")


def test_a_method_and_its_settings(batch: Any, tmp_path: Path) -> None:
    outcome = batch("--method", "value-norm", "--layer", "all", "--head", "entropy-weighted", "--json")
    assert outcome.code == 0, outcome.err
    asked = {"method": "value-norm", "layer": "all", "head": "entropy-weighted"}
    assert asked.items() <= outcome.data["settings"]["request"].items()
    row = rows(tmp_path / "out")[0]
    assert (row["method"], row["layer"], row["head"]) == ("value-norm", [0, 1], "entropy-weighted")
    assert row["quantity"] == "length of what is written"


def test_files_that_made_room_are_counted(batch: Any, tmp_path: Path) -> None:
    batch("--threshold", 0, "--top-k", 2)
    outcome = batch("--threshold", 0, "--top-k", 2, "--layer", 0)
    assert "6 files made with other settings made room for them (another -o keeps both)" in outcome.out


def test_encoder_points(batch: Any, tmp_path: Path) -> None:
    assert batch("--kind", "encoder", "--point", "10,20").code == 0
    assert "sub/a.jpg/p0_10,20.overlay.png" in written(tmp_path / "out")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--layer", 9), "no layer 9"),
        (("--layer", "0,9"), "no layer 9"),
        (("--method", "magic"), "no method 'magic': methods are raw, rollout"),
        (("--method", "relevance", "--kind", "decoder-self"), "relevance explains kind cross, not decoder-self"),
        (("--export", "svg"), "exports are overlay, heatmap, pair, contour, points, arrays"),
        (("--label", "zebra"), "no class 'zebra'"),
        (("--kind", "decoder-self", "--export", "heatmap"), "heatmap (the matrix of all) with --per image"),
        (("--kind", "decoder-self", "--style", "pair", "--per", "image"), "choose overlay (boxes by weight)"),
    ],
)
def test_wrong_choices_are_one_line(batch: Any, tmp_path: Path, args: tuple[object, ...], message: str) -> None:
    outcome = batch(*args)
    assert outcome.code == 1
    assert outcome.out == ""
    assert message in outcome.err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_an_export_that_cannot_show_the_method(batch: Any, tmp_path: Path) -> None:
    outcome = batch("--method", "decompose", "--export", "overlay,contour")
    assert outcome.code == 2
    assert "--export cannot be contour" in outcome.err
    assert not (tmp_path / "out").exists()


def test_inputs_that_are_not_there(batch: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no such file or folder" in batch(inputs=("phantom",)).err
    assert "no pictures in empty" in batch(inputs=("empty",)).err
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written(batch: Any, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    outcome = batch()
    assert outcome.code == 1
    assert "cannot write into out" in outcome.err.splitlines()[-1]


def test_another_run_in_the_same_folder(batch: Any, tmp_path: Path) -> None:
    with OutputFolder(tmp_path / "out"):
        outcome = batch()
    assert outcome.code == 1
    assert "another run is writing into out" in outcome.err


def test_ctrl_c_says_how_to_go_on(batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, calls = OutputFolder.place, []

    def interrupted(self: OutputFolder, draft: Path, name: str) -> None:
        calls.append(name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        place(self, draft, name)

    monkeypatch.setattr(OutputFolder, "place", interrupted)
    outcome = batch()
    assert outcome.code == 130
    assert "stopped after 1 picture; the same command goes on from there" in outcome.err
    outcome = batch()
    assert outcome.code == 0
    assert "left as they are: 1 picture" in outcome.out


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX systems have them")
def test_a_signal_from_the_keyboard_ends_the_process(batch: Any, photos: Path, tmp_path: Path) -> None:
    for number in range(500):
        os.link(photos / "a.png", photos / f"b{number}.png")
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # also below nohup
    code += "from detr_attnviz.cli.app import main; main()"
    args = ("batch", "photos", "-o", "out", "-c", "tiny.pth", *SMALL, "--threshold", 0, "--top-k", 2)
    command = [sys.executable, "-c", code, *map(str, args)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "out" / "manifest.jsonl").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in said.splitlines()[-1]
    assert "Traceback" not in said
    noted = {row["file"] for row in rows(tmp_path / "out")} | {"manifest.jsonl"}
    assert len({name.partition("/")[0] for name in written(tmp_path / "out") - noted}) <= 1  # the one at hand


def test_shards_fill_one_folder(batch: Any, tmp_path: Path) -> None:
    assert batch().code == 0
    straight = {name: (tmp_path / "out" / name).read_bytes() for name in written(tmp_path / "out")}
    (tmp_path / "out").rename(tmp_path / "straight")
    outcome = batch("--shard", "2/2", "--json")
    assert (outcome.data["shard"], outcome.data["pictures"]) == ("2/2", 1)
    assert "2 pictures" in batch("--shard", "1/2").out
    assert {name: (tmp_path / "out" / name).read_bytes() for name in written(tmp_path / "out")} == straight


@pytest.mark.parametrize("shard", ["0/4", "5/4", "two", "1/0", "3", f"1/{'9' * 5000}"], ids=lambda shard: shard[:9])
def test_a_shard_that_is_none_is_a_usage_error(batch: Any, tmp_path: Path, shard: str) -> None:
    outcome = batch("--shard", shard)
    assert outcome.code == 2
    assert "such as 2/4" in outcome.err
    assert not (tmp_path / "out").exists()


def test_workers_and_batch_size_leave_the_results_alone(batch: Any, tmp_path: Path) -> None:
    batch()
    (tmp_path / "out").rename(tmp_path / "straight")
    assert batch("--workers", 3, "--batch-size", 2).code == 0
    assert written(tmp_path / "out") == written(tmp_path / "straight")
    assert batch("--workers", 0).code == 2
    assert batch("--batch-size", 0).code == 2


def test_ray_that_is_not_installed(batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detr_attnviz.cli.batch.find_spec", lambda name: None)
    outcome = batch("--engine", "ray", "-c", "nowhere.pth")  # told before the model is looked for
    assert outcome.code == 1
    assert '--engine ray needs an optional package: pip install "detr-attnviz[ray]"' in outcome.err
    assert not (tmp_path / "out").exists()


def test_the_proof_is_said_in_a_line_and_in_json(batch: Any, tmp_path: Path) -> None:
    outcome = batch("--json")
    assert outcome.code == 0
    (note,) = [line for line in outcome.err.splitlines() if "verified" in line]
    assert note.startswith("attnviz: maps verified: within ")
    assert note.endswith("at 5 sites (on a.jpg)")
    assert outcome.data["notes"] == [note.removeprefix("attnviz: ")]
    proof = outcome.data["proof"]
    assert (proof["picture"], proof["passed"], proof["output_unchanged"]) == ("a.jpg", True, True)
    assert [site["site"] for site in proof["sites"]][:2] == ["encoder.0.self", "decoder.0.self"]
    again = batch("--json")
    assert (again.data["proof"], again.data["notes"]) == (None, [])
    assert "verified" not in again.err


def test_wrong_maps_are_one_line_and_nothing_is_written(
    batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = DenseRecord.map
    monkeypatch.setattr(DenseRecord, "map", lambda self, *args, **options: right(self, *args, **options).flip(1))
    outcome = batch()
    assert outcome.code == 1
    assert outcome.out == ""
    last = outcome.err.splitlines()[-1]
    assert "tiny.pth: " in last
    assert ": the map differs from the module's own weights by " in last
    assert "--no-verify writes the maps all the same" in last
    assert not (tmp_path / "out").exists()
    assert batch("--no-verify").code == 0
    assert len(written(tmp_path / "out")) == 7


@pytest.fixture
def small_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that has no memory for more than one picture of 64 × 96 px, nor for one that is larger."""
    opened = ModelOptions.open

    def scarce(options: ModelOptions, classes: Path | None = None) -> Scarce:
        return Scarce(opened(options, classes).family, most_pictures=1, most_px=64 * 96)

    monkeypatch.setattr(ModelOptions, "open", scarce)


@pytest.mark.usefixtures("small_gpu")
def test_a_group_that_shrinks_is_said_once(batch: Any, photos: Path, tmp_path: Path) -> None:
    outcome = batch("--batch-size", 4)
    assert outcome.code == 0
    said = [line for line in outcome.err.splitlines() if "not enough memory" in line]
    assert len(said) == 1
    assert said[0].startswith("attnviz: not enough memory on mps for 3 pictures in one forward: they go one at a time")
    assert "Traceback" not in outcome.err


@pytest.mark.usefixtures("small_gpu")
def test_a_picture_too_large_for_the_gpu_is_done_on_the_cpu_if_allowed(
    batch: Any, photos: Path, tmp_path: Path
) -> None:
    write_picture(photos / "large.png", 96, 96)
    large = ("--shortest-px", 96)
    outcome = batch(*large, inputs=("photos/large.png",))
    assert outcome.code == 1
    assert "a smaller --shortest-px needs less, and --allow-cpu has it done on the CPU" in outcome.out
    outcome = batch(*large, "--allow-cpu", inputs=("photos/large.png",))
    assert outcome.code == 0
    assert outcome.err.count("a copy of the model does it on the CPU") == 1
    assert [row["settings"]["device"] for row in rows(tmp_path / "out")] == ["cpu", "cpu"]
    assert "left as they are: 1 picture" in batch(*large, inputs=("photos/large.png",)).out
