"""The local engine: order, grouping, bounds, and what happens when a step fails."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from detr_attnviz.batch.answers import Ready
from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.pipeline import Pipeline
from detr_attnviz.batch.work import Job, Made
from detr_attnviz.errors import AttnVizError, ImageError
from detr_attnviz.families.base import Prepared
from detr_attnviz.grid import Grid

GRID = Grid(rows=1, cols=1, stride_px=32, height_px=1, width_px=1, input_height_px=1, input_width_px=1)


class FakeWork:
    """Pictures are called by their shape and a number: "wide-3"; "bad" ones cannot be read."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.forwards_in: set[str] = set()

    def read(self, picture: Picture) -> Ready | Made[str]:
        if picture.location.startswith("bad"):
            return Made(fault="bad")
        sides = {"wide": (2, 3), "tall": (3, 2)}[picture.location.partition("-")[0]]
        return Ready(Image.new("RGB", (1, 1)), Prepared({"images": torch.zeros(1, 3, *sides)}, GRID), picture.location)

    def answers(self, group: Sequence[Ready]) -> list[Any]:
        self.groups.append([ready.source for ready in group])
        self.forwards_in.add(threading.current_thread().name)
        return [ImageError(ready.source) for ready in group]

    def draw(self, picture: Picture, found: AttnVizError) -> Made[str]:
        return Made((str(found),))


def job(name: str) -> Job:
    return Job(Picture(Path(name), name), {}, [], is_done=name.startswith("done"))


def names(*shapes: str) -> list[str]:
    return [f"{shape}-{number}" for number, shape in enumerate(shapes)]


def pipeline(work: Any, workers: int = 2, batch_size: int = 1) -> Pipeline[str]:
    return Pipeline(work, workers=workers, batch_size=batch_size)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_results_come_in_order_whatever_is_done_at_once(workers: int, batch_size: int) -> None:
    given = names(*["wide", "done", "tall", "bad", "wide"] * 20, "tall")
    results = list(pipeline(FakeWork(), workers, batch_size).results(map(job, given)))
    assert [done.picture.location for done, _ in results] == given
    for done, made in results:
        name = done.picture.location
        expected = {"done": None, "bad": ()}.get(name.partition("-")[0], (name,))
        assert (made and made.files) == expected


def test_pictures_of_one_shape_share_a_forward() -> None:
    work = FakeWork()
    list(pipeline(work, batch_size=2).results(map(job, names("wide", "tall", "bad", "wide", "tall", "wide"))))
    assert work.groups == [["wide-0", "wide-3"], ["tall-1", "tall-4"], ["wide-5"]]


def test_a_shape_of_its_own_waits_for_a_few_pictures_only() -> None:
    work = FakeWork()
    list(pipeline(work, batch_size=2).results(map(job, names("tall", *["wide"] * 8, "tall"))))
    assert work.groups == [["wide-1", "wide-2"], ["wide-3", "wide-4"], ["tall-0"], *work.groups[3:]]


def test_a_long_row_of_done_pictures_holds_up_nobody() -> None:
    work = FakeWork()
    results = list(pipeline(work, batch_size=8).results(map(job, names("wide", *["done"] * 1000, "wide"))))
    assert len(results) == 1002
    assert work.groups == [["wide-0"], ["wide-1001"]]


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 1), (2, 1), (2, 8)])
def test_few_pictures_are_under_way_at_a_time(workers: int, batch_size: int) -> None:
    taken = 0

    def jobs() -> Iterator[Job]:
        nonlocal taken
        for name in names(*["wide", "wide", "tall"] * 300):
            taken += 1
            yield job(name)

    most = 0
    for number, _ in enumerate(pipeline(FakeWork(), workers, batch_size).results(jobs())):
        most = max(most, taken - number)
    assert most <= 8 * batch_size + 2 * workers


def test_the_first_result_does_not_wait_for_the_last_picture() -> None:
    def jobs() -> Iterator[Job]:
        yield from map(job, names(*["wide"] * 20))
        pytest.fail("asked for more than there was room for")

    results = pipeline(FakeWork(), workers=1).results(jobs())
    assert next(results)[0].picture.location == "wide-0"
    results.close()


@pytest.mark.parametrize("step", ["read", "answers", "draw"])
def test_a_bug_is_raised_in_its_pictures_turn(step: str) -> None:
    work = FakeWork()
    plain = getattr(work, step)

    def broken(given: Any, *more: Any) -> Any:
        first = given[0].source if isinstance(given, list) else given.location
        if first == "wide-2":
            raise ZeroDivisionError
        return plain(given, *more)

    setattr(work, step, broken)
    results = pipeline(work).results(map(job, names(*["wide"] * 9)))
    assert [next(results)[0].picture.location for _ in range(2)] == ["wide-0", "wide-1"]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_no_thread_is_left_when_the_results_are_closed() -> None:
    before = set(threading.enumerate())
    results = pipeline(FakeWork(), workers=3).results(map(job, names(*["wide"] * 50)))
    next(results)
    assert set(threading.enumerate()) > before
    results.close()
    assert set(threading.enumerate()) == before


def test_nothing_starts_after_the_results_are_closed() -> None:
    work = FakeWork()
    results = pipeline(work, workers=1).results(map(job, names(*["wide"] * 50)))
    next(results)
    results.close()
    assert len(work.groups) < 8


def test_forwards_run_in_the_thread_that_asks() -> None:
    work = FakeWork()
    list(pipeline(work).results(map(job, names("wide", "tall"))))
    assert work.forwards_in == {threading.current_thread().name}
