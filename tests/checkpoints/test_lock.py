"""One holder at a time, and no file left behind."""

import threading
import time
from pathlib import Path

from detr_attnviz.checkpoints.lock import alone


def test_second_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []
    first_holds = threading.Event()

    def first() -> None:
        with alone(tmp_path / "lock"):
            first_holds.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    first_holds.wait()
    with alone(tmp_path / "lock"):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_lock_file_of_a_dead_holder_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    with alone(tmp_path / "lock"):
        pass
    assert not (tmp_path / "lock").exists()
