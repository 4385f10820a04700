"""The run over many pictures: what is to do, the work on it by an engine, and what is written, in order.

Finding (``images``), the work (``work``, run by ``pipeline``) and writing (``write``, ``manifest``) know nothing of
each other: only this file puts them in a row. Whatever the engine does at once, pictures are looked up, written and
given their lines one after the other, here, in the order in which they were found.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

from detr_attnviz.batch.exports import MadeFile
from detr_attnviz.batch.faults import OF_A_PICTURE, of_this_picture
from detr_attnviz.batch.images import Picture, find_pictures
from detr_attnviz.batch.manifest import Manifest
from detr_attnviz.batch.pipeline import Pipeline, fitting_workers
from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.batch.report import BatchReport, OnProgress, Outcome
from detr_attnviz.batch.rows import Row
from detr_attnviz.batch.shards import Shard, opened
from detr_attnviz.batch.work import Engine, Job, Made, Work
from detr_attnviz.batch.write import OutputFolder
from detr_attnviz.detector import Detector
from detr_attnviz.errors import AttnVizError

_GPU_BATCH = 8
EngineName = Literal["local", "ray"]


def run_batch(
    detector: Detector,
    inputs: Sequence[str | Path],
    settings: BatchSettings,
    out: Path,
    *,
    resume: bool = True,
    workers: int | None = None,
    batch_size: int | None = None,
    shard: Shard | None = None,
    engine: EngineName = "local",
    verify: bool = True,
    allow_cpu: bool = False,
    on_progress: OnProgress | None = None,
) -> BatchReport:
    """Writes the maps of all pictures into ``out``, with ``manifest.jsonl``; see ``images`` for what inputs may be.

    ``workers`` threads read and draw beside the forwards, each of which takes up to ``batch_size`` pictures of one
    shape: one on a CPU, unless told otherwise, so that results equal those of one picture alone to the bit; several on
    a GPU. A ``shard`` is this run's share of the pictures; the others may be at work in ``out`` at the same time. With
    the ``engine`` "ray" the work is done on a cluster, by ``workers`` actors (see ``ray_engine``), and written here.

    Before a map is written, those of the first picture that is worked on are compared with what the model itself says,
    unless ``verify`` is False; sites that nobody can be asked about are noted. The proof leaves no trace in ``out``.
    When a GPU has no memory for a group, it goes in halves from there on; what does not even fit alone is done on the
    CPU if ``allow_cpu``, and fails otherwise. The report's ``notes`` say all that.

    What ``out`` holds already of the same pictures under the same settings is left as it is, unless ``resume`` is
    False; what other settings left of them is replaced. A picture that cannot be read is reported, not raised.
    ``on_progress`` is called after every picture with the report so far and the number of all pictures, once known.

    Raises: OutputError when ``out`` cannot be written or another run is writing into it; ChoiceError for inputs
    that name no pictures, or a request that no picture can answer; VerificationError for maps that are wrong.
    """
    started = time.monotonic()
    settings = settings.settled(detector)
    report = BatchReport()
    pictures = find_pictures(inputs, outside=out)
    if shard is not None:
        pictures = shard.share(pictures)
    total = _Total(inputs, out, shard) if on_progress is not None else None
    with opened(out, shard) as (folder, manifest):
        run = _Run(detector, settings, folder, manifest, resume)
        work = Work(detector, settings, run.keep, allow_cpu, verify)
        spread = _engine(engine, work, workers, batch_size)
        with closing(spread.results(run.jobs(pictures))) as results:
            for job, made in results:
                report = report.plus(run.outcome(job, made)).with_facts(work.proof, work.notes)
                if on_progress is not None and total is not None:
                    on_progress(report, total.count)
    return replace(report, seconds=time.monotonic() - started)


def _engine(name: EngineName, work: Work["_Kept"], workers: int | None, batch_size: int | None) -> Engine["_Kept"]:
    """With what suits the machine where nothing is said."""
    is_gpu = work.detector.device.type == "cuda"
    together = batch_size or (_GPU_BATCH if is_gpu and work.detector.family.takes_batches else 1)
    if name == "ray":
        from detr_attnviz.batch.ray_engine import RayEngine

        return RayEngine(work, workers=workers, batch_size=together)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Pipeline(work, workers=workers or fitting_workers(cores, is_gpu), batch_size=together)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file that waits for its name."""

    name: str
    draft: Path
    row: Row


class _Run:
    def __init__(
        self, detector: Detector, settings: BatchSettings, folder: OutputFolder, manifest: Manifest, resume: bool
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.resume = resume
        self.settings_hash = settings.hash_for(detector)

    def jobs(self, pictures: Iterator[Picture]) -> Iterator[Job]:
        """What is to be done, looked up as it is asked for."""
        for picture in pictures:
            # Taken before reading: a picture that changes meanwhile is done again by the next run.
            state = {"settings_hash": self.settings_hash, **_file_facts(picture.path)}
            known = self.manifest.rows(picture.location)
            yield Job(picture, state, known, self.resume and self._is_done(known, state))

    def keep(self, made: MadeFile) -> _Kept:
        """A file of a picture whose turn has not come yet."""
        facts = {"file": made.name, "bytes": len(made.data), "sha256": sha256(made.data).hexdigest()}
        return _Kept(made.name, self.folder.keep(made.name, made.data), {**facts, **made.row})

    def outcome(self, job: Job, made: Made[_Kept] | None) -> Outcome:
        """Gives a picture its files and lines; ``made`` is None when it has them."""
        if made is None:
            return Outcome(job.picture, "empty" if job.known[0]["file"] is None else "skipped")
        if made.fault:
            return self._fail(job, made.fault)
        try:
            return self._place(job, made)
        except OF_A_PICTURE as error:
            return self._fail(job, str(of_this_picture(error)))

    def _place(self, job: Job, made: Made[_Kept]) -> Outcome:
        picture, about = job.picture, {**job.state, "remark": made.remark} if made.remark else job.state
        self.manifest.take_back(picture.location)  # before anything that its lines speak of changes
        for file in made.files:
            self.folder.place(file.draft, file.name)
        self.folder.prune(picture.location, {file.name for file in made.files})
        self.manifest.put(picture.location, [{**f.row, **about} for f in made.files] or [{"file": None, **about}])
        return Outcome(
            picture,
            "written" if made.files else "empty",
            len(made.files),
            is_unsure=bool(made.files and made.is_unsure),
            is_unscored=bool(made.files and made.is_unscored),
            has_holes=made.has_holes,
            replaced=self._others(job.known),
        )

    def _others(self, known: list[Row]) -> int:
        """Files that an earlier run made of the picture with other settings."""
        return sum(bool(row.get("file")) and row.get("settings_hash") != self.settings_hash for row in known)

    def _is_done(self, known: list[Row], state: Row) -> bool:
        return bool(known) and "picture_bytes" in state and all(self._holds(row, state) for row in known)

    def _holds(self, row: Row, state: Row) -> bool:
        if "error" in row or any(row.get(name) != value for name, value in state.items()):
            return False
        file, size = row.get("file", ""), row.get("bytes")
        return file is None or (isinstance(file, str) and isinstance(size, int) and self.folder.has(file, size))

    def _fail(self, job: Job, message: str) -> Outcome:
        picture = job.picture
        # A picture that has gone (a drive not mounted?) takes none of its results with it.
        had_files = any(row.get("file") for row in job.known)
        if "picture_bytes" in job.state or not had_files:
            if had_files:
                self.manifest.take_back(picture.location)
            self.folder.prune(picture.location, ())
            self.manifest.put(picture.location, [{"file": None, "error": message, **job.state}])
        return Outcome(picture, "failed", error=message)


class _Total:
    """Counts the pictures beside the work; ``count`` is None until it is done."""

    def __init__(self, inputs: Sequence[str | Path], out: Path, shard: Shard | None) -> None:
        self.count: int | None = None
        threading.Thread(target=self._count, args=(inputs, out, shard), daemon=True).start()

    def _count(self, inputs: Sequence[str | Path], out: Path, shard: Shard | None) -> None:
        try:
            total = sum(1 for _ in find_pictures(inputs, outside=out))
            self.count = total if shard is None else shard.size(total)
        except (AttnVizError, OSError):
            self.count = None  # the run itself meets the same, and says so


def _file_facts(path: Path) -> Row:
    """By what a changed picture is known; empty when there is no such file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return {}
    return {"picture_bytes": found.st_size, "picture_mtime_ns": found.st_mtime_ns}
