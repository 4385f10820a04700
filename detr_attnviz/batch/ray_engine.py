"""The work of a run on a Ray cluster: Ray Data spreads the pictures over actors, each of which holds the model.

The driver, which is the process that was started, finds the pictures and writes files and manifest; the actors read
pictures and the checkpoint, which must lie under the same paths for all of them, as in a shared folder. What an
actor had in hand when it died is done again by another. Actors work with as many threads as the driver's torch has,
so that their results equal the driver's own to the bit on processors of the same kind.

Ray is an optional package, and imported only when a run asks for it.
"""

import math
import os
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from detr_attnviz.batch.answers import Ready
from detr_attnviz.batch.exports import MadeFile
from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.pipeline import Pipeline, fitting_workers
from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.batch.ray_cluster import cluster
from detr_attnviz.batch.recipe import Recipe
from detr_attnviz.batch.work import Job, Made, Work
from detr_attnviz.detector import Detector
from detr_attnviz.errors import AttnVizError, MissingExtraError

File = TypeVar("File")

_BLOCK = 8  # pictures that an actor takes at a time, and that are done again if it dies
_MOST_BLOCKS = 10_000


class RayEngine(Generic[File]):
    """The engine that runs on Ray: ``workers`` actors, as many as there is room for unless told.

    A cluster is joined as Ray does by itself (``RAY_ADDRESS``); without one, a local one is started for the run.

    Raises: MissingExtraError without Ray; ChoiceError for a detector that cannot be sent.
    """

    def __init__(self, work: Work[File], *, workers: int | None, batch_size: int) -> None:
        if find_spec("ray") is None:
            raise MissingExtraError("--engine ray", "ray")
        self._work = work
        self._workers = workers
        self._batch_size = batch_size
        self._open: Callable[[], Detector] = Recipe.of(work.detector)

    def results(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Made[File] | None]]:
        """As ``Pipeline.results``, but all pictures are found before the first is worked on."""
        found = list(jobs)
        todo = [job.picture for job in found if not job.is_done]
        if not todo:
            yield from ((job, None) for job in found)
            return
        self._prove(todo)
        with cluster() as ray, closing(self._made(ray, todo)) as made:
            for job in found:
                yield job, None if job.is_done else self._kept(next(made))
            next(made, None)  # Ray tidies up at the end, and complains of a stop before

    def _prove(self, pictures: Iterable[Picture]) -> None:
        """The driver proves what the actors' copies of its detector will draw."""
        if self._work.duty is None:
            return
        for picture in pictures:
            ready = self._work.read(picture)
            if isinstance(ready, Ready):
                return self._work.duty.prove(ready)

    def _kept(self, made: Made[MadeFile] | AttnVizError) -> Made[File]:
        if isinstance(made, AttnVizError):
            raise made
        for note in made.notes:
            self._work.note(note)
        files = tuple(map(self._work.keep, made.files))
        return Made(
            files,
            made.remark,
            made.fault,
            is_unsure=made.is_unsure,
            is_unscored=made.is_unscored,
            has_holes=made.has_holes,
        )

    def _made(self, ray: Any, pictures: list[Picture]) -> Generator[Made[MadeFile] | AttnVizError]:
        rows = [{"picture": pickle.dumps(_anywhere(picture))} for picture in pictures]
        block = max(_BLOCK, self._batch_size, math.ceil(len(rows) / _MOST_BLOCKS))
        is_gpu = self._work.detector.device.type == "cuda"
        cores, room = _room(ray, is_gpu)
        made = ray.data.from_items(rows, override_num_blocks=math.ceil(len(rows) / block)).map_batches(
            _Actor,
            fn_constructor_args=(
                self._open,
                self._work.settings,
                fitting_workers(cores, is_gpu),
                self._batch_size,
                self._work.may_use_cpu,
            ),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=self._workers or room),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=cores,
            num_gpus=1 if is_gpu else None,
        )
        for batch in made.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from map(pickle.loads, batch["made"].to_pylist())


class _Actor:
    """Lives on a worker, with the model; a block of pictures goes through a pipeline of its own."""

    def __init__(
        self,
        open_detector: Callable[[], Detector],
        settings: BatchSettings,
        drawing: int,
        batch_size: int,
        may_use_cpu: bool,
    ) -> None:
        self._open = open_detector
        self._settings = settings
        self._drawing = drawing
        self._batch_size = batch_size
        self._may_use_cpu = may_use_cpu
        self._work: Work[MadeFile] | None = None

    def __call__(self, batch: Any) -> Iterator[Any]:
        pa = import_module("pyarrow")
        pictures = [pickle.loads(data) for data in batch["picture"].to_pylist()]
        for made in self._results(pictures):
            yield pa.table({"made": pa.array([pickle.dumps(made)], pa.large_binary())})

    def _results(self, pictures: list[Picture]) -> Iterator[Made[MadeFile] | AttnVizError | None]:
        """What the whole run ends at is sent as it is: Ray would wrap an error that is raised."""
        try:
            if self._work is None:
                self._work = Work(self._open(), self._settings, lambda made: made, self._may_use_cpu)
            pipeline = Pipeline(self._work, workers=self._drawing, batch_size=self._batch_size)
            for _, made in pipeline.results(Job(picture, {}, [], is_done=False) for picture in pictures):
                yield replace(made, notes=tuple(self._work.notes)) if made is not None else None
        except AttnVizError as error:
            yield error


def _anywhere(picture: Picture) -> Picture:
    """The picture under a path that does not depend on the folder a process runs in."""
    return Picture(Path(os.path.abspath(picture.path)), picture.location, picture.fault)


def _room(ray: Any, is_gpu: bool) -> tuple[int, int]:
    """Cores for one actor, and how many actors there is room for.

    On CPUs an actor gets the driver's number of threads, but no more than the largest machine has, which would leave
    it waiting for ever; on GPUs, one of them and its share of the cores.
    """
    has = ray.cluster_resources()
    everywhere, gpus = int(has.get("CPU", 1)), int(has.get("GPU", 0))
    if is_gpu and gpus:
        return max(1, everywhere // gpus), gpus
    largest = max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])
    cores = min(torch.get_num_threads(), largest)
    return cores, max(1, everywhere // cores)
