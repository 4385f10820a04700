"""What makes a command start and end sooner than its imports would by themselves."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from detr_attnviz.process import tune_process


@contextmanager
def swift_imports() -> Iterator[None]:
    """For the imports inside, in a process tuned for forwards: a third less time for torch's, and for the end.

    The garbage collector would walk everything that torch makes again and again while it is made, at every later
    full collection and once more at the end. Here it rests until all is there, and then leaves that alone for good.
    """
    tune_process()
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def foresee(checkpoint: str | None) -> None:
    """Starts on the hash of the checkpoint that a command will use (``None``: the default) beside its imports.

    Raises: CheckpointError when there is none of that name, before a second goes into those imports.
    """
    from detr_attnviz.checkpoints.digest import begin_sha256
    from detr_attnviz.checkpoints.source import default_source, locate, needs_fetching

    source = checkpoint or default_source()[0]
    if not needs_fetching(source):
        begin_sha256(locate(source, may_fetch=False)[1])
