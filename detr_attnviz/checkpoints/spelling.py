"""A name for a file whose own name is no UTF-8, for libraries that take no other."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def spelled(path: Path) -> Iterator[Path]:
    """``path`` itself, or while the block runs a link to it that every library can spell.

    Raises: OSError when no link can be made in the folder for temporary files.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory(prefix="attnviz-") as folder:
            link = Path(folder, "checkpoint")
            link.symlink_to(path.absolute())
            yield link
    else:
        yield path
