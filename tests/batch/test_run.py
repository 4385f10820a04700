"""The run: what is written where, what a second run does, and what it survives."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from detr_attnviz.batch.images import Picture, find_pictures
from detr_attnviz.batch.manifest import Manifest
from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.batch.report import BatchReport
from detr_attnviz.batch.run import run_batch
from detr_attnviz.batch.shards import Shard
from detr_attnviz.batch.sheets import RenderedSheet, render_files
from detr_attnviz.batch.write import OutputFolder
from detr_attnviz.detector import Detector, load
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.errors import ChoiceError, OutputError, VerificationError
from detr_attnviz.methods.request import Request
from detr_attnviz.recording.records import DenseRecord
from tests.batch.conftest import PICTURES, make_pictures, rows_in, times, tree
from tests.scarce import Scarce
from tests.tiny import tiny_detector, tiny_model, write_picture

Runner = Callable[..., BatchReport]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(detector: Detector, image_folder: Path, settings: BatchSettings, out: Path) -> Runner:
    """Runs the folder; settings may be changed by name."""

    def run(**options: Any) -> BatchReport:
        said = {name: options.pop(name) for name in ("resume", "workers", "batch_size", "verify") if name in options}
        return run_batch(detector, [image_folder], replace(settings, **options), out, **said)

    return run


def test_a_tree_that_mirrors_the_inputs(run: Runner, out: Path) -> None:
    report = run()
    assert (report.pictures, report.written, report.failed, report.skipped) == (4, 12, 0, 0)
    rows = rows_in(out)
    assert {row["file"] for row in rows} | {"manifest.jsonl"} == set(tree(out))
    for name in PICTURES:
        assert sum(file.startswith(f"{name}/q") for file in tree(out)) == 2
        assert f"{name}.npz" in tree(out)


def test_a_row_a_file(run: Runner, out: Path, detector: Detector, settings: BatchSettings) -> None:
    run()
    rows = rows_in(out)
    assert [row["picture"] for row in rows] == [name for name in PICTURES for _ in range(3)]
    row = rows[0]
    assert row["file"] == f"a.jpg/q{row['query']}_{row['name']}.overlay.png"
    assert (row["site"], row["head"], row["method"], row["checkpoint"]) == ("decoder.1.cross", "mean", "raw", "tiny")
    assert row["settings_hash"] == settings.hash_for(detector)
    assert row["bytes"] == (out / row["file"]).stat().st_size
    with Image.open(out / row["file"]) as picture:
        assert picture.size == (90, 64)
        assert picture.info["query"] == str(row["query"])
        assert picture.info["picture"] == "a.jpg"
    arrays = next(row for row in rows if row["export"] == "arrays")
    assert [one["query"] for one in arrays["maps"]] == [row["query"] for row in rows[:2]]


def test_maps_equal_those_of_render(
    run: Runner, out: Path, detector: Detector, image_folder: Path, settings: BatchSettings, tmp_path: Path
) -> None:
    run(per="image")
    sheets = render_files(
        detector,
        [image_folder],
        settings.request,
        settings.drawing,
        output=tmp_path / "sheets",
        shortest_px=settings.shortest_px,
        longest_px=settings.longest_px,
    )
    for name, sheet in zip(PICTURES, sheets, strict=True):
        assert isinstance(sheet, RenderedSheet)
        with np.load(out / f"{name}.npz", allow_pickle=False) as arrays:
            np.testing.assert_array_equal(arrays["maps"], sheet.explanation.maps)
            assert arrays["queries"].tolist() == [one.index for one in sheet.explanation.detections]
        with Image.open(out / f"{name}.overlay.png") as ours, Image.open(sheet.files[0]) as theirs:
            assert ours.size == theirs.size


def test_a_file_a_term(run: Runner, out: Path, settings: BatchSettings) -> None:
    changed = replace(settings.request, method="decompose")
    assert run(request=changed).written == 4 * (2 * 4 + 1)
    row = rows_in(out)[5]
    assert row["term"] == "content · position"
    assert row["file"] == f"a.jpg/q{row['query']}_{row['name']}_content-position.overlay.png"
    assert sum(one["share"] for one in rows_in(out)[:4]) == pytest.approx(1)
    assert run(request=changed).skipped == 4
    report = run(request=replace(changed, method="relevance"))
    assert (report.written, report.replaced) == (12, 36)
    assert len(tree(out)) == 12 + 1


def test_a_file_a_term_at_encoder_points(run: Runner, out: Path) -> None:
    points = ((10.0, 20.0), (30.0, 40.0))
    run(request=Request(method="decompose", kind="encoder", points=points), exports=("heatmap",))
    assert {row["file"].removeprefix("a.jpg/") for row in rows_in(out) if row["picture"] == "a.jpg"} == {
        f"p{number}_{x:g},{y:g}_{query}-{cell}.heatmap.png"
        for number, (x, y) in enumerate(points)
        for query in ("content", "position")
        for cell in ("content", "position")
    }


@pytest.mark.parametrize("method", ["rollout", "attn-gradcam", "relevance", "value-norm", "gradcam"])
def test_other_methods_fill_the_same_tree(run: Runner, out: Path, settings: BatchSettings, method: str) -> None:
    report = run(request=replace(settings.request, method=method))
    assert (report.written, report.failed) == (12, 0)
    assert {row["method"] for row in rows_in(out)} == {method}


def test_a_second_run_writes_nothing(run: Runner, out: Path) -> None:
    run()
    before = times(out)
    report = run()
    assert (report.pictures, report.skipped, report.written) == (4, 4, 0)
    assert times(out) == before


def test_what_is_missing_or_cut_is_made_again(run: Runner, out: Path) -> None:
    run()
    whole = tree(out)
    (out / "sub/a.jpg.npz").unlink()
    overlay = next((out / "a.png").glob("*.png"))
    overlay.write_bytes(overlay.read_bytes()[:-1])
    report = run()
    assert (report.skipped, report.written) == (2, 6)
    assert tree(out) == whole


def test_other_settings_replace_what_was_there(run: Runner, out: Path, tmp_path: Path, detector: Detector) -> None:
    run()
    (out / "a.jpg" / "notes.txt").write_text("mine")
    report = run(exports=("heatmap",), request=Request(threshold=0.0, top_k=1))
    assert (report.written, report.skipped) == (4, 0)
    assert len(rows_in(out)) == 4
    assert {row["file"] for row in rows_in(out)} | {"manifest.jsonl", "a.jpg/notes.txt"} == set(tree(out))
    assert all(file.endswith((".heatmap.png", ".jsonl", ".txt")) for file in tree(out))


def test_a_changed_picture_is_done_again(run: Runner, out: Path, image_folder: Path) -> None:
    run()
    make_pictures(image_folder, ("new.jpg",))
    (image_folder / "new.jpg").replace(image_folder / "a.png")
    assert (run().written, run().written) == (3, 0)


def test_no_resume_does_all_again(run: Runner, out: Path) -> None:
    run()
    whole, before = tree(out), times(out)
    report = run(resume=False)
    assert (report.written, report.skipped) == (12, 0)
    assert tree(out) == whole
    assert all(times(out)[name] != time for name, time in before.items())


def test_other_pictures_in_the_same_folder_stay(
    run: Runner, detector: Detector, settings: BatchSettings, out: Path, tmp_path: Path
) -> None:
    run()
    whole = tree(out)
    run_batch(detector, [make_pictures(tmp_path / "more", ("a0.jpg",))], settings, out)
    assert [row["picture"] for row in rows_in(out)] == sorted(row["picture"] for row in rows_in(out))
    assert whole.keys() < tree(out).keys()
    assert run().skipped == 4


def test_bad_pictures_are_reported_and_the_rest_is_done(run: Runner, out: Path, image_folder: Path) -> None:
    (image_folder / "b.jpg").write_bytes(b"no picture")
    (image_folder / "c.png").write_bytes((image_folder / "a.png").read_bytes()[:200])
    (image_folder / "d.jpg").touch()
    (image_folder / "e.jpg").symlink_to("nowhere")
    (image_folder / "f.jpg").mkdir()
    os.mkfifo(image_folder / "g.jpg")
    report = run()
    assert (report.pictures, report.written, report.failed) == (9, 12, 5)
    assert [one.picture.location for one in report.failures] == ["b.jpg", "c.png", "d.jpg", "e.jpg", "g.jpg"]
    errors = {row["picture"]: row["error"] for row in rows_in(out) if "error" in row}
    assert errors == {one.picture.location: one.error for one in report.failures}
    assert "not a picture" in errors["b.jpg"]
    assert "does not exist" in errors["e.jpg"]
    assert not any(str(image_folder) in error for error in errors.values())
    before = times(out)
    assert run().failed == 5
    assert times(out) == before


def test_a_picture_that_went_bad_loses_its_results_and_gets_them_back(
    run: Runner, out: Path, image_folder: Path
) -> None:
    run()
    whole, good = tree(out), (image_folder / "a.png").read_bytes()
    state = (image_folder / "a.png").stat()
    (image_folder / "a.png").write_bytes(b"bad")
    assert run().failed == 1
    assert not any(file.startswith("a.png") for file in tree(out))
    (image_folder / "a.png").write_bytes(good)
    os.utime(image_folder / "a.png", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert run().written == 3
    assert tree(out) == whole


def test_a_picture_that_has_gone_leaves_its_results(
    run: Runner, detector: Detector, settings: BatchSettings, out: Path, image_folder: Path
) -> None:
    run()
    before = times(out)
    listed = image_folder.parent / "list.txt"
    listed.write_text("".join(f"photos/{name}\n" for name in PICTURES))
    (image_folder / "a.jpg").rename(image_folder.parent / "a.jpg")
    report = run_batch(detector, [f"@{listed}"], settings, out)
    assert (report.failed, report.written, report.skipped) == (1, 0, 3)
    assert times(out) == before


@pytest.mark.parametrize("reason", ["went bad", "nothing to show", "other files"])
def test_cut_after_files_went_the_manifest_speaks_of_none_that_is_not_there(
    run: Runner, out: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    run()
    changes: dict[str, Any] = {}
    if reason == "went bad":
        (image_folder / "a.jpg").write_bytes(b"bad")
    else:
        changes["request"] = Request(threshold=0.999, fallback=0) if reason == "nothing to show" else Request(layer=0)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Manifest, "put", cut)
    with pytest.raises(KeyboardInterrupt):
        run(**changes)
    with Manifest(out / "manifest.jsonl") as manifest:
        counting = [row for name in PICTURES for row in manifest.rows(name)]
    assert len(counting) == 9
    assert all((out / row["file"]).stat().st_size == row["bytes"] for row in counting)


def test_nothing_to_show_is_a_row_and_no_failure(run: Runner, out: Path) -> None:
    report = run(request=Request(threshold=1.0, fallback=0))
    assert (report.empty, report.failed, report.written) == (4, 0, 0)
    assert [bool(row["remark"]) for row in rows_in(out)] == [True] * 4
    assert set(tree(out)) == {"manifest.jsonl"}
    before = times(out)
    assert run(request=Request(threshold=1.0, fallback=0)).empty == 4
    assert times(out) == before


def test_unsure_queries_are_remarked_upon(run: Runner, out: Path) -> None:
    run(request=Request(threshold=1.0, fallback=1))
    assert all("no detection reaches the threshold 1" in row["remark"] for row in rows_in(out))


def test_encoder_points_outside_a_picture_are_that_pictures_failure(run: Runner, out: Path, image_folder: Path) -> None:
    report = run(request=Request(kind="encoder", points=((91.5, 10), (3, 4), (3, 4))))
    assert [one.picture.location for one in report.failures] == ["a.jpg", "a.png"]
    assert "lies outside the picture" in report.failures[0].error
    assert "sub/a.jpg/p1_3,4.overlay.png" in tree(out)
    assert rows_in(out)[-2]["point"] == [3, 4]


@pytest.mark.parametrize(
    "request_",
    [
        Request(layer=9),
        Request(head="17"),
        Request(queries=(99,)),
        Request(labels=("zebra",)),
        Request(kind="encoder", points=((3, 4),), layer=7),
    ],
)
def test_a_request_that_no_picture_can_answer_ends_the_run(request_: Request, run: Runner, out: Path) -> None:
    with pytest.raises(ChoiceError, match=r"no layer|head|no query|no class"):
        run(request=request_)
    assert not out.exists()
    out.mkdir()
    with pytest.raises(ChoiceError):
        run(request=request_)
    assert out.is_dir()


def test_a_row_says_with_which_settings(run: Runner, out: Path) -> None:
    request = Request(threshold=0.25, top_k=1, head=2, labels=("cat", "dog"))
    run(request=request, exports=("pair", "heatmap", "arrays"), drawing=DrawingOptions(cmap="viridis", alpha=0.5))
    for row in rows_in(out):
        settings = row["settings"]
        asked = {"kind": "cross", "layer": -1, "head": "2", "method": "raw", "queries": [], "labels": ["cat", "dog"]}
        asked |= {"top_k": 1, "threshold": 0.25, "points": [], "direction": "from", "fallback": 3}
        assert settings["request"] == asked
        assert (settings["shortest_px"], settings["longest_px"], settings["heads"]) == (64, 96, "4")
        assert settings["software"].startswith("detr_attnviz ")
        if row["export"] == "arrays":
            assert "drawing" not in settings
        else:
            assert settings["per"] == "query"
            drawn = {"style": row["export"], "cmap": "viridis", "alpha": 0.5, "scale": "each", "smooth": "bicubic"}
            assert drawn.items() <= settings["drawing"].items()
    assert max(len(line) for line in (out / "manifest.jsonl").read_bytes().splitlines()) < 2000


def test_a_style_that_cannot_show_the_maps_keeps_what_was_there(run: Runner, out: Path) -> None:
    run()
    whole = tree(out)
    with pytest.raises(ChoiceError, match="decoder self-attention"):
        run(request=Request(kind="decoder-self", queries=(1,)), exports=("heatmap",))
    assert tree(out) == whole


def test_the_same_query_named_twice_is_one_file(run: Runner, out: Path) -> None:
    assert run(request=Request(queries=(3, 3)), exports=("overlay",)).written == 4


def test_the_same_bytes_twice(run: Runner, out: Path, tmp_path: Path) -> None:
    run(exports=("overlay", "heatmap", "pair", "contour", "arrays"))
    first = tree(out)
    out.rename(tmp_path / "first")
    run(exports=("overlay", "heatmap", "pair", "contour", "arrays"))
    assert tree(out) == first


def test_neither_workers_nor_the_order_of_their_work_shows(run: Runner, out: Path, tmp_path: Path) -> None:
    run(exports=("overlay", "arrays"), workers=1)
    first = tree(out)
    out.rename(tmp_path / "first")
    run(exports=("overlay", "arrays"), workers=4)
    assert tree(out) == first


def test_several_pictures_in_a_forward_show_the_same_maps(run: Runner, out: Path, tmp_path: Path) -> None:
    run(exports=("arrays",))
    out.rename(tmp_path / "alone")
    run(exports=("arrays",), batch_size=4)
    for name in PICTURES:
        with np.load(out / f"{name}.npz") as ours, np.load(tmp_path / "alone" / f"{name}.npz") as alone:
            assert ours["queries"].tolist() == alone["queries"].tolist()
            # a batched kernel may add up in another order
            np.testing.assert_allclose(ours["maps"], alone["maps"], rtol=0, atol=1e-5)


def test_too_little_memory_for_several_pictures_is_enough_for_one(run: Runner, detector: Detector) -> None:
    trace_prepared = detector.trace_prepared

    def scarce(pictures: Sequence[Any]) -> Any:
        if len(pictures) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA")
        return trace_prepared(pictures)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector, "trace_prepared", scarce)
        assert run(batch_size=4).written == 12


def test_a_list_of_100_000_lines_is_worked_on_before_it_is_read_to_its_end(
    detector: Detector, image_folder: Path, settings: BatchSettings, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (image_folder / "list.txt").write_text("a.jpg\n" + "".join(f"{number}.jpg\n" for number in range(100_000)))
    found: list[int] = []

    def counted(inputs: Any, **options: Any) -> Iterator[Picture]:
        call = len(found)
        found.append(0)
        for picture in find_pictures(inputs, **options):
            found[call] += 1
            yield picture

    def stop(report: BatchReport, total: int | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("detr_attnviz.batch.run.find_pictures", counted)
    with pytest.raises(KeyboardInterrupt):
        run_batch(detector, [f"@{image_folder}/list.txt"], settings, out, on_progress=stop)
    assert rows_in(out)[0]["picture"] == "a.jpg"
    assert min(found) < 20


def test_hostile_names_of_files_and_classes(tmp_path: Path, settings: BatchSettings) -> None:
    names = (
        "new\nline.png",
        "😀.jpg",
        "..strange.jpg",
        "a\\b:c?.png",
        "x" * 251 + ".png",
        "per%20cent.jpg",
        "d.ot./t.png",
    )
    folder = make_pictures(tmp_path / "photos", names)
    raw = os.fsencode(folder) + b"/caf\xe9.jpg"
    with open(raw, "wb") as file:
        file.write((folder / "😀.jpg").read_bytes())
    detector = tiny_detector()
    detector.family.class_names = ("../../../evil", "a/b\n", "\0", "😀" * 200, "\udcff")
    report = run_batch(detector, [folder, folder / "..strange.jpg"], settings, tmp_path / "out")
    assert (report.failed, report.pictures, report.written) == (0, 8, 24)
    rows = rows_in(tmp_path / "out")
    assert {row["file"] for row in rows} | {"manifest.jsonl"} == set(tree(tmp_path / "out"))
    assert len({row["picture"] for row in rows}) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photos"]
    assert run_batch(detector, [folder, folder / "..strange.jpg"], settings, tmp_path / "out").skipped == 8


def test_a_name_that_the_output_cannot_hold_is_that_pictures_failure(
    run: Runner, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = OutputFolder.place

    def refusing(self: OutputFolder, draft: Path, name: str) -> None:
        place(self, draft, f"{name}{'x' * 300}" if name.startswith("a.png/") else name)

    monkeypatch.setattr(OutputFolder, "place", refusing)
    report = run()
    assert [one.picture.location for one in report.failures] == ["a.png"]
    assert "file name too long" in report.failures[0].error
    assert report.written == 9


def test_too_little_memory_for_one_picture_is_its_failure(run: Runner, detector: Detector) -> None:
    forward = detector.family.forward
    calls = iter([RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.cuda.OutOfMemoryError("CUDA")])

    def scarce(inputs: object) -> object:
        for error in calls:
            raise error
        return forward(inputs)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector.family, "forward", scarce)
        report = run()
    assert [one.error.partition(":")[0] for one in report.failures] == ["not enough memory for this picture"] * 2
    assert report.written == 6


def test_a_bug_is_not_swallowed(run: Runner, detector: Detector, out: Path) -> None:
    def broken(_: object) -> object:
        raise RuntimeError("shapes do not fit")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector.family, "forward", broken)
        with pytest.raises(RuntimeError, match="shapes do not fit"):
            run()
    assert run().written == 12


def test_a_file_where_a_folder_is_needed_ends_the_run(run: Runner, out: Path) -> None:
    out.mkdir()
    (out / "sub").write_text("mine")
    with pytest.raises(OutputError, match="a file has the name that a folder needs"):
        run()
    assert (out / "sub").read_text() == "mine"
    (out / "sub").unlink()
    report = run()
    assert (report.skipped, report.written) == (2, 6)


def test_a_second_run_in_the_same_folder_is_refused(run: Runner, out: Path) -> None:
    with OutputFolder(out), pytest.raises(OutputError, match="another run is writing into"):
        run()
    assert run().written == 12


def test_nothing_found_makes_no_folder(detector: Detector, settings: BatchSettings, out: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ChoiceError, match="no pictures in"):
        run_batch(detector, [tmp_path / "empty"], settings, out)
    assert not out.exists()


def test_progress_counts_up_and_learns_the_total(
    detector: Detector, image_folder: Path, settings: BatchSettings, out: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    run_batch(
        detector, [image_folder], settings, out, on_progress=lambda report, total: seen.append((report.pictures, total))
    )
    assert [done for done, _ in seen] == [1, 2, 3, 4]
    assert {total for _, total in seen} <= {None, 4}
    assert seen[-1][1] == 4


def test_ctrl_c_leaves_a_folder_that_can_be_gone_on_with(
    run: Runner, detector: Detector, image_folder: Path, settings: BatchSettings, out: Path, tmp_path: Path
) -> None:
    run()
    straight = tree(out)
    out.rename(tmp_path / "straight")

    def stop(report: BatchReport, _: int | None) -> None:
        if report.pictures == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(detector, [image_folder], settings, out, on_progress=stop)
    assert {row["picture"] for row in rows_in(out)} == {"a.jpg", "a.png"}
    assert run().skipped == 2
    assert tree(out) == straight


@pytest.mark.parametrize("stage", ["put", "finish"])
def test_a_run_cut_before_its_manifest_leaves_no_mixture(
    stage: str, run: Runner, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    # files whose sizes do not tell the layer
    arrays = {"exports": ("arrays",), "request": Request(threshold=0.0, top_k=2, layer=1)}
    run(**arrays)
    straight = tree(out)
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, stage, cut)
        with pytest.raises(KeyboardInterrupt):
            run(**arrays | {"request": Request(threshold=0.0, top_k=2, layer=0)})
    assert tree(out) != straight
    assert {name: len(data) for name, data in tree(out).items() if name.endswith("npz")} == {
        name: len(data) for name, data in straight.items() if name.endswith("npz")
    }
    assert run(**arrays).written == (1 if stage == "put" else 4)
    assert tree(out) == straight


def test_a_sheet_an_image(run: Runner, out: Path) -> None:
    report = run(per="image", exports=("overlay", "pair"), drawing=DrawingOptions(columns=1))
    assert report.written == 8
    assert {"a.jpg.overlay.png", "sub/deeper/b.PNG.pair.png"} < set(tree(out))
    assert all(len(row["maps"]) == 2 for row in rows_in(out))


def test_from_sheets_to_queries_and_back(run: Runner, out: Path) -> None:
    run(per="image")
    sheets = tree(out)
    run(per="query")
    run(per="image")
    assert tree(out) == sheets
    assert not (out / "a.jpg").exists()


def test_the_manifest_is_plain_json_lines(run: Runner, out: Path) -> None:
    run()
    for line in (out / "manifest.jsonl").read_bytes().split(b"\n")[:-1]:
        assert json.loads(line)["parts"] == 3


def scarce_detector(**limits: int) -> Scarce:
    return Scarce(tiny_detector().family, **limits)


def run_scarce(scarce: Scarce, folder: Path, settings: BatchSettings, out: Path, **options: Any) -> BatchReport:
    return run_batch(scarce, [folder], settings, out, batch_size=8, **options)


def test_a_run_goes_on_with_what_memory_there_is_and_says_it_once(settings: BatchSettings, tmp_path: Path) -> None:
    (folder := tmp_path / "photos").mkdir()
    for number in range(24):
        write_picture(folder / f"{number:02}.png", 48, 32)
    heard: list[tuple[str, ...]] = []
    scarce = scarce_detector(most_pictures=2)
    report = run_scarce(
        scarce,
        folder,
        settings,
        tmp_path / "out",
        verify=False,
        on_progress=lambda report, _: heard.append(report.notes),
    )
    assert (report.written, report.failed) == (72, 0)
    (note,) = report.notes
    assert "not enough memory on mps for 8 pictures in one forward: they go 2 at a time from here on" in note
    assert heard == [(note,)] * 24
    assert scarce.sizes[:3] == [8, 4, 2]
    assert max(scarce.sizes[3:]) == 2  # no group fails again
    plain = run_batch(tiny_detector(), [folder], settings, tmp_path / "pairs", batch_size=2)
    assert plain.written == 72


def test_what_has_no_room_on_the_gpu_fails_without_the_cpu_and_is_done_with_it(
    settings: BatchSettings, tmp_path: Path
) -> None:
    folder, out = make_pictures(tmp_path / "photos", ("a.png", "b.png")), tmp_path / "out"
    write_picture(folder / "square.png", 64, 64)
    report = run_scarce(scarce_detector(most_px=64 * 64), folder, settings, out)
    assert [one.picture.location for one in report.failures] == ["a.png", "b.png"]
    assert "--allow-cpu has it done on the CPU" in report.failures[0].error
    report = run_scarce(scarce_detector(most_px=64 * 64), folder, settings, out, allow_cpu=True)
    assert (report.written, report.failed, report.skipped) == (6, 0, 1)
    assert sum("does it on the CPU" in note for note in report.notes) == 1
    devices = {row["picture"]: row["settings"].get("device") for row in rows_in(out)}
    assert devices == {"a.png": "cpu", "b.png": "cpu", "square.png": None}
    assert len({row["settings_hash"] for row in rows_in(out)}) == 1
    assert run_batch(tiny_detector(), [folder], settings, out).skipped == 3
    run_batch(tiny_detector(), [folder], settings, tmp_path / "on_cpu")
    for name in ("a.png", "b.png"):
        with np.load(out / f"{name}.npz") as ours, np.load(tmp_path / "on_cpu" / f"{name}.npz") as theirs:
            np.testing.assert_array_equal(ours["maps"], theirs["maps"])


def test_the_same_bytes_with_and_without_proof(run: Runner, out: Path, tmp_path: Path) -> None:
    report = run()
    assert report.proof is not None
    assert report.proof.picture == "a.jpg"
    assert [note.partition(":")[0] for note in report.notes] == ["maps verified"]
    first = tree(out)
    out.rename(tmp_path / "first")
    report = run(verify=False)
    assert (report.proof, report.notes) == (None, ())
    assert tree(out) == first


def test_a_picture_that_cannot_be_read_passes_the_proof_on_and_a_done_one_needs_none(
    run: Runner, image_folder: Path, out: Path
) -> None:
    (image_folder / "a.jpg").write_bytes(b"no picture")
    proof = run().proof
    assert proof is not None
    assert proof.picture == "a.png"
    assert run().proof is None
    (out / "sub" / "a.jpg.npz").unlink()
    proof = run().proof
    assert proof is not None
    assert proof.picture == "sub/a.jpg"


@pytest.mark.parametrize("batch_size", [1, 8])
def test_wrong_maps_end_the_run_before_anything_is_written(
    run: Runner, out: Path, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = DenseRecord.map
    with monkeypatch.context() as patch:
        patch.setattr(DenseRecord, "map", lambda self, *args, **options: right(self, *args, **options).flip(1))
        with pytest.raises(VerificationError, match=r"tiny: .* differs from the module's own weights .* on a.jpg"):
            run(batch_size=batch_size)
        assert not out.exists()
        assert run(verify=False, batch_size=batch_size).written == 12
        whole = tree(out)
        with pytest.raises(VerificationError):
            run(resume=False)
        assert tree(out) == whole


def test_a_checkpoint_of_nan_ends_the_run_and_is_called_so(
    image_folder: Path, settings: BatchSettings, out: Path
) -> None:
    broken = tiny_detector()
    with torch.no_grad():
        broken.sites[0].module.get_parameter("in_proj_weight").fill_(torch.nan)
    with pytest.raises(VerificationError, match=r"holds NaN: the checkpoint may hold NaN or Inf"):
        run_batch(broken, [image_folder], settings, out)
    assert not out.exists()


def test_shards_prove_their_own_first_picture(
    detector: Detector, image_folder: Path, settings: BatchSettings, out: Path
) -> None:
    reports = [run_batch(detector, [image_folder], settings, out, shard=Shard(number, 2)) for number in (1, 2)]
    assert [report.proof and report.proof.picture for report in reports] == ["a.jpg", "a.png"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_full_gpu_shrinks_the_group_and_hands_on_to_the_cpu(settings: BatchSettings, tmp_path: Path) -> None:
    torch.save({"model": tiny_model().state_dict()}, tmp_path / "tiny.pth")
    (folder := tmp_path / "photos").mkdir()
    for number in range(8):
        write_picture(folder / f"{number}.png")
    on_gpu = load(tmp_path / "tiny.pth", device="cuda", nheads=4)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (1 << 20)) / total)
    try:
        large = replace(settings, shortest_px=800, longest_px=1333)
        report = run_batch(on_gpu, [folder], large, tmp_path / "out", batch_size=8, allow_cpu=True)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert (report.failed, report.pictures) == (0, 8)
    assert any("does it on the CPU" in note for note in report.notes)
