"""Where reports go: one of a kind by its suffix, or a folder with all of them. Needs no model."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from detr_attnviz.errors import ChoiceError
from detr_attnviz.files import is_one_of

REPORTS = (".html", ".csv", ".json")
FIGURES = (".png", ".pdf", ".svg")
_STEM = "evaluation"
_IN_FOLDER = (*REPORTS, ".png")


@dataclass(frozen=True, slots=True)
class Output:
    """The reports to write, and the file beside them that keeps every picture's results (see ``ledger``).

    ``folder`` is theirs alone, if they have one.
    """

    files: tuple[Path, ...]
    results: Path
    folder: Path | None = None

    @classmethod
    def at(cls, path: Path) -> "Output":
        """A file with a known suffix; or a folder: one that exists, or a name without suffix.

        Raises: ChoiceError for another suffix.
        """
        if os.path.isdir(path) or not path.suffix:
            files = tuple(path / f"{_STEM}{suffix}" for suffix in _IN_FOLDER)
            return cls(files, path / f"{_STEM}.results.jsonl", path)
        if path.suffix.lower() not in (*REPORTS, *FIGURES):
            raise ChoiceError(
                f"{path}: no report is called {path.suffix}; give a file ending in {', '.join(REPORTS)} (or "
                f"{', '.join(FIGURES)}, the curves alone), or a folder for all"
            )
        return cls((path,), path.with_suffix(".results.jsonl"))

    def check_spares(self, inputs: Sequence[str], pictures: Iterable[Path]) -> None:
        """Raises: ChoiceError when a report would take the place of a picture, or of a list of pictures."""
        there = [file for file in (*self.files, self.results) if os.path.exists(file)]
        given = (Path(name.removeprefix("@")) for name in inputs)
        for other in chain(given, pictures) if there else ():
            if wrong := [file for file in there if is_one_of(file, [other])]:
                raise ChoiceError(f"{wrong[0]} is an input, which is never overwritten: give another name")
