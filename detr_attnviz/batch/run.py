"""The run over many pictures: decode, forward, draw, write, and a line in the manifest; then the next.

Finding (``images``), making (``exports``) and writing (``write``, ``manifest``) know nothing of each other: only
this file puts them in a row.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

from detr_attnviz.batch.answers import answer
from detr_attnviz.batch.exports import MadeFile, make_files
from detr_attnviz.batch.faults import OF_A_PICTURE, of_this_picture
from detr_attnviz.batch.images import Picture, find_pictures
from detr_attnviz.batch.manifest import Manifest
from detr_attnviz.batch.names import MANIFEST
from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.batch.rows import Row
from detr_attnviz.batch.write import OutputFolder
from detr_attnviz.detector import Detector
from detr_attnviz.errors import AttnVizError
from detr_attnviz.explanation import Explanation

_FAILURES_KEPT = 100
Status = Literal["written", "skipped", "empty", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one picture: "empty" is nothing to show in it, "skipped" is done by an earlier run.

    ``is_unsure`` when no detection reached the threshold and the best were drawn instead; ``replaced`` counts the
    files of other settings that made room.
    """

    picture: Picture
    status: Status
    files: int = 0
    error: str = ""
    is_unsure: bool = False
    replaced: int = 0


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A whole run. ``pictures`` counts all, ``written`` files; the others count pictures.

    ``failures`` holds the first hundred; the manifest has them all.
    """

    pictures: int = 0
    written: int = 0
    skipped: int = 0
    unsure: int = 0
    replaced: int = 0
    empty: int = 0
    failed: int = 0
    failures: tuple[Outcome, ...] = ()
    seconds: float = 0.0

    def plus(self, outcome: Outcome) -> "BatchReport":
        """The report with one more picture in it."""
        failures = self.failures
        if outcome.status == "failed" and len(failures) < _FAILURES_KEPT:
            failures = (*failures, outcome)
        return BatchReport(
            self.pictures + 1,
            self.written + outcome.files,
            self.skipped + (outcome.status == "skipped"),
            self.unsure + outcome.is_unsure,
            self.replaced + outcome.replaced,
            self.empty + (outcome.status == "empty"),
            self.failed + (outcome.status == "failed"),
            failures,
        )


OnProgress = Callable[[BatchReport, int | None], None]


def run_batch(
    detector: Detector,
    inputs: Sequence[str | Path],
    settings: BatchSettings,
    out: Path,
    *,
    resume: bool = True,
    on_progress: OnProgress | None = None,
) -> BatchReport:
    """Writes the maps of all pictures into ``out``, with ``manifest.jsonl``; see ``images`` for what inputs may be.

    What ``out`` holds already of the same pictures under the same settings is left as it is, unless ``resume`` is
    False; what other settings left of them is replaced. A picture that cannot be read is reported, not raised.
    ``on_progress`` is called after every picture with the report so far and the number of all pictures, once known.

    Raises: OutputError when ``out`` cannot be written or another run is writing into it; ChoiceError for inputs
    that name no pictures, or a request that no picture can answer.
    """
    started = time.monotonic()
    report = BatchReport()
    pictures = find_pictures(inputs, outside=out)
    total = _Total(inputs, out) if on_progress is not None else None
    with OutputFolder(out) as folder, Manifest(out / MANIFEST) as manifest:
        for outcome in _Run(detector, settings, folder, manifest, resume).outcomes(pictures):
            report = report.plus(outcome)
            if on_progress is not None and total is not None:
                on_progress(report, total.count)
        manifest.finish(folder.draft())
    return replace(report, seconds=time.monotonic() - started)


class _Run:
    def __init__(
        self, detector: Detector, settings: BatchSettings, folder: OutputFolder, manifest: Manifest, resume: bool
    ) -> None:
        self.detector = detector
        self.settings = settings
        self.folder = folder
        self.manifest = manifest
        self.resume = resume
        self.settings_hash = settings.hash_for(detector)

    def outcomes(self, pictures: Iterator[Picture]) -> Iterator[Outcome]:
        """Works through the pictures in order."""
        for picture in pictures:
            # Taken before reading: a picture that changes meanwhile is done again by the next run.
            state = {"settings_hash": self.settings_hash, **_file_facts(picture.path)}
            known = self.manifest.rows(picture.location)
            if self.resume and self._is_done(known, state):
                yield Outcome(picture, "empty" if known[0]["file"] is None else "skipped")
                continue
            try:
                yield replace(self._make(picture, state), replaced=self._others(known))
            except OF_A_PICTURE as error:
                yield self._fail(picture, state, known, of_this_picture(error))

    def _make(self, picture: Picture, state: Row) -> Outcome:
        explanation = self._explain(picture)
        remark = self.settings.request.remark(explanation)
        about = {**state, "remark": remark} if remark else state
        rows: list[Row] = []
        for made in make_files(explanation, self.settings, picture.location):
            self.manifest.take_back(picture.location)  # before anything that its lines speak of changes
            self.folder.put(made.name, made.data)
            rows.append({**_file_row(made), **about})
        self.folder.prune(picture.location, {row["file"] for row in rows})
        self.manifest.put(picture.location, rows or [{"file": None, **about}])
        return Outcome(picture, "written" if rows else "empty", len(rows), is_unsure=bool(rows and remark))

    def _others(self, known: list[Row]) -> int:
        """Files that an earlier run made of the picture with other settings."""
        return sum(bool(row.get("file")) and row.get("settings_hash") != self.settings_hash for row in known)

    def _explain(self, picture: Picture) -> Explanation:
        """The maps, as ``render`` shows them; the picture is called by its location, wherever the inputs lie."""
        settings = self.settings
        explanation = answer(self.detector, picture, settings.request, (settings.shortest_px, settings.longest_px))
        return replace(explanation, provenance={**explanation.provenance, "picture": picture.location})

    def _is_done(self, known: list[Row], state: Row) -> bool:
        return bool(known) and "picture_bytes" in state and all(self._holds(row, state) for row in known)

    def _holds(self, row: Row, state: Row) -> bool:
        if "error" in row or any(row.get(name) != value for name, value in state.items()):
            return False
        file, size = row.get("file", ""), row.get("bytes")
        return file is None or (isinstance(file, str) and isinstance(size, int) and self.folder.has(file, size))

    def _fail(self, picture: Picture, state: Row, known: list[Row], error: AttnVizError) -> Outcome:
        message = str(error).removeprefix(f"{picture.path}: ")
        # A picture that has gone (a drive not mounted?) takes none of its results with it.
        has_gone = "picture_bytes" not in state and any(row.get("file") for row in known)
        if not has_gone:
            self.folder.prune(picture.location, ())
            self.manifest.put(picture.location, [{"file": None, "error": message, **state}])
        return Outcome(picture, "failed", error=message)


class _Total:
    """Counts the pictures beside the work; ``count`` is None until it is done."""

    def __init__(self, inputs: Sequence[str | Path], out: Path) -> None:
        self.count: int | None = None
        threading.Thread(target=self._count, args=(inputs, out), daemon=True).start()

    def _count(self, inputs: Sequence[str | Path], out: Path) -> None:
        try:
            self.count = sum(1 for _ in find_pictures(inputs, outside=out))
        except (AttnVizError, OSError):
            self.count = None  # the run itself meets the same, and says so


def _file_row(made: MadeFile) -> Row:
    return {"file": made.name, "bytes": len(made.data), "sha256": sha256(made.data).hexdigest(), **made.row}


def _file_facts(path: Path) -> Row:
    """By what a changed picture is known; empty when there is no such file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return {}
    return {"picture_bytes": found.st_size, "picture_mtime_ns": found.st_mtime_ns}
