"""The file beside a report that keeps each picture's results as soon as they are there: one line of JSON each.

A line carries the hash of its settings (and model): lines of other settings stay and are not looked at, so that one
file serves several evaluations. A line that a kill has torn is cut off by the next run.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from detr_attnviz.errors import OutputError
from detr_attnviz.evaluation.results import PictureResult
from detr_attnviz.files import BusyError, check_is_plain, fault_of, locked, reason_of

_FORMAT = "attnviz evaluation 1"
_START = b'{"format": "attnviz evaluation '


class Ledger:
    """The results of one set of settings; without a path they are kept in memory alone."""

    def __init__(self, path: Path | None, settings_hash: str) -> None:
        self.path = path
        self.settings_hash = settings_hash
        self._known: dict[tuple[str, str], PictureResult] = {}

    def find(self, picture: str, sha256: str) -> PictureResult | None:
        """What is known of the picture at this location with this content."""
        return self._known.get((picture, sha256))

    def put(self, result: PictureResult) -> None:
        """Writes a picture's line, in one piece.

        Raises: OutputError.
        """
        self._known[result.picture, result.sha256] = result
        if self.path is None:
            return
        line = json.dumps({"format": _FORMAT, "settings_hash": self.settings_hash, **result.as_row()}) + "\n"
        try:
            with self.path.open("ab") as file:
                file.write(line.encode())
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {fault_of(error)}") from error

    def read(self) -> None:
        """Takes in what earlier runs wrote, and cuts off a torn last line.

        Raises: OutputError when the file is another program's or cannot be read.
        """
        if self.path is None or not os.path.lexists(self.path):
            return
        check_is_plain(self.path)
        try:
            whole = strange = 0
            with self.path.open("rb+") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        whole += len(line)
                        strange += not self._take(line)
                    else:
                        strange += not line.startswith(_START[: len(line)])
                if strange:
                    raise OutputError(
                        f"{self.path} holds lines that are no results of attnviz evaluate: move it away, or give "
                        "another output"
                    )
                file.truncate(whole)
        except OSError as error:
            raise OutputError(f"cannot read {self.path}: {reason_of(error)}") from error

    def _take(self, line: bytes) -> bool:
        """Whether the line is one of ours."""
        try:
            row = json.loads(line)
            if row["format"] != _FORMAT:
                return False
            if row["settings_hash"] == self.settings_hash:
                result = PictureResult.from_row(row)
                self._known[result.picture, result.sha256] = result
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return False  # a number too large for a float, lists within lists within lists
        return True


@contextmanager
def opened(path: Path | None, settings_hash: str) -> Iterator[Ledger]:
    """The ledger at ``path``, for this run alone while the block runs; its folder is made.

    Raises: OutputError when it cannot be written or another run is writing it.
    """
    ledger = Ledger(path, settings_hash)
    with ExitStack() as held:
        if path is not None:
            try:
                os.makedirs(path.parent, exist_ok=True)
                held.enter_context(locked(path.with_name(f"{path.name}.lock"), wait=False))
            except BusyError:
                raise OutputError(f"another run is writing {path}: wait for it, or give another output") from None
            except OSError as error:
                raise OutputError(f"cannot write {path}: {fault_of(error)}") from error
            ledger.read()
        yield ledger
