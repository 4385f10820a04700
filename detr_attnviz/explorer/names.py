"""What a page calls its pictures: file names, with as much of their folders as tells them apart."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from detr_attnviz.drawing.text import clean

UNNAMED = "picture"


def picture_names(sources: Sequence[str]) -> list[str]:
    """One name a source: its file's, or the fewest last parts of its path that no other source ends in.

    Never more of a path: a page is made to be handed on, and where files lie is nobody's business.
    """
    parts = [PurePath(source).parts for source in sources]
    shown = [1] * len(parts)
    while True:
        names = [_ending(path, count) for path, count in zip(parts, shown, strict=True)]
        taken = Counter(names)
        again = [at for at, name in enumerate(names) if taken[name] > 1 and shown[at] < len(parts[at])]
        if not again:
            return [clean(name) or UNNAMED for name in names]
        for at in again:
            shown[at] += 1


def _ending(path: Sequence[str], count: int) -> str:
    return "/".join(path[-count:])
