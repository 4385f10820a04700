"""The work of a run in this process: threads read and draw beside the forwards, results come in order.

Pillow, numpy and zlib let go of Python's lock, so a pool of threads decodes pictures ahead and draws behind.
Forwards run in the thread that asks for results: glibc gives large blocks of any other thread back to the system
after each use, and fetching them again costs a tenth of a forward on a CPU. How many pictures are under way is
bounded, so that memory does not depend on how many there are.

Pictures of one shape share a forward. They are gathered in the order of arrival and by counting alone, so that the
same pictures always make the same groups.
"""

from collections import deque
from collections.abc import Generator, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from detr_attnviz.batch.answers import Ready
from detr_attnviz.batch.work import Job, Made, Work

File = TypeVar("File")
_MOST_WORKERS = 16


def fitting_workers(cores: int, is_gpu: bool) -> int:
    """How many threads to read and draw with: a GPU leaves the cores free; on a CPU the forwards need them."""
    return min(cores, _MOST_WORKERS) if is_gpu else max(2, cores // 4)


@dataclass(slots=True, eq=False)
class _Entry(Generic[File]):
    """A job under way: its picture as it is read, and what is made of it, from its forward on."""

    job: Job
    number: int
    read: "Future[Ready | Made[File]] | None"
    made: "Future[Made[File]] | Made[File] | None" = None

    @property
    def is_finished(self) -> bool:
        return self.job.is_done or (self.made.done() if isinstance(self.made, Future) else self.made is not None)

    @property
    def result(self) -> tuple[Job, Made[File] | None]:
        """Waited for, if need be."""
        return self.job, self.made.result() if isinstance(self.made, Future) else self.made

    def ready(self) -> Ready | None:
        """The picture, waited for; None when there is no forward to come, as all is done or it cannot be read."""
        if self.read is None:
            return None
        future, self.read = self.read, None  # it holds the picture
        try:
            read = future.result()
        except Exception as error:
            self.made = _failed(error)
            return None
        if isinstance(read, Ready):
            return read
        self.made = read
        return None


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[File]):
    """A picture that waits for others of its shape."""

    entry: _Entry[File]
    ready: Ready


class Pipeline(Generic[File]):
    """The local engine: ``workers`` threads that read and draw, forwards over up to ``batch_size`` pictures.

    On a CPU several pictures in a forward may differ in their last bits from one at a time; in its own forward each
    is to the bit what ``Detector.trace`` gives.
    """

    def __init__(self, work: Work[File], *, workers: int, batch_size: int) -> None:
        self._work = work
        self._batch_size = batch_size
        self._ahead = batch_size + 1  # pictures to read before their turn
        self._patience = 4 * (batch_size - 1)  # how many later ones a picture sees arrive until it goes alone
        self._most = self._ahead + self._patience + batch_size + 2 * workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="attnviz-draw")
        self._under_way: deque[_Entry[File]] = deque()

    def results(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Made[File] | None]]:
        """Each job with what was made of its picture, in order; None for one that is done already.

        ``jobs`` is asked for the next when there is room. What ends the whole run is raised in its picture's turn.
        Closing the iterator waits for what the threads are at, and starts nothing more.
        """
        try:
            for group in self._groups(jobs):
                self._answer(group)
                while self._under_way and (self._under_way[0].is_finished or len(self._under_way) >= self._most):
                    yield self._under_way.popleft().result
            while self._under_way:
                yield self._under_way.popleft().result
        finally:
            self._pool.shutdown(cancel_futures=True)

    def _groups(self, jobs: Iterable[Job]) -> Iterator[list[_Waiting[File]]]:
        """With every picture that arrives those that go now: of one shape, as many as a forward takes, or none.

        They are fewer when the first of them has waited for long enough.
        """
        waiting: dict[Hashable, list[_Waiting[File]]] = {}  # the group with the longest wait comes first
        for entry in self._entered(jobs):
            if (ready := entry.ready()) is not None:
                group = waiting.setdefault(ready.shape, [])
                group.append(_Waiting(entry, ready))
                if len(group) == self._batch_size:
                    yield waiting.pop(ready.shape)
            first = next(iter(waiting), None)
            is_due = first is not None and waiting[first][0].entry.number + self._patience <= entry.number
            yield waiting.pop(first) if is_due else []
        yield from waiting.values()

    def _entered(self, jobs: Iterable[Job]) -> Iterator[_Entry[File]]:
        """The jobs in order, a few later pictures being read meanwhile."""
        reading: deque[_Entry[File]] = deque()
        for number, job in enumerate(jobs):
            read = None if job.is_done else self._pool.submit(self._work.read, job.picture)
            reading.append(_Entry(job, number, read))
            self._under_way.append(reading[-1])
            if len(reading) > self._ahead:
                yield reading.popleft()
        yield from reading

    def _answer(self, group: list[_Waiting[File]]) -> None:
        if not group:
            return
        try:
            found = self._work.answers([one.ready for one in group])
        except Exception as error:
            for one in group:
                one.entry.made = _failed(error)
        else:
            for one, answer in zip(group, found, strict=True):
                one.entry.made = self._pool.submit(self._work.draw, one.entry.job.picture, answer)


def _failed(error: Exception) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_exception(error)
    return future
