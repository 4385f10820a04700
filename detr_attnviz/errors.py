"""Every error a user can meet.

    AttnVizError
    ├── CheckpointError          a file that cannot be read as a checkpoint
    │   ├── UnsafeCheckpointError    it asks to run code, and was refused
    │   └── CheckpointKeysError      its tensors do not fit the architecture
    ├── DownloadError            a known checkpoint that could not be fetched whole
    ├── ImageError               a picture that cannot be read
    ├── ChoiceError              a layer, head, query, label, site, point or option that does not exist
    ├── CaptureError             a record that cannot answer (changed since, wrong module)
    │   └── VerificationError        maps that are not what the model itself says
    ├── OutputError              a result that cannot be written
    └── MissingExtraError        an optional package that is not installed

    UserWarning
    └── BrokenWeightsWarning     a checkpoint whose weights hold NaN or infinity

A message says what was wrong, what was found, what was expected and what to do next, in one line.
"""

from collections.abc import Iterable, Sequence


class AttnVizError(Exception):
    """Base of all errors that the command line turns into one line and exit code 1."""


class CheckpointError(AttnVizError):
    """A file that cannot be read as a checkpoint."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint that asks for a Python object outside the short list that is allowed."""


class CheckpointKeysError(CheckpointError):
    """Tensors that do not fit the architecture.

    ``missing``, ``unexpected`` and ``wrong_shape`` list every one, sorted; the message names the first of each, and
    ``model`` as what they should fit.
    """

    def __init__(
        self,
        source: str,
        *,
        missing: Iterable[str] = (),
        unexpected: Iterable[str] = (),
        wrong_shape: Iterable[str] = (),
        model: str = "a DETR",
    ) -> None:
        self.missing = tuple(sorted(missing))
        self.unexpected = tuple(sorted(unexpected))
        self.wrong_shape = tuple(sorted(wrong_shape))
        parts = [
            f"{len(keys)} {what} ({few(keys)})"
            for what, keys in (
                ("missing", self.missing),
                ("unexpected", self.unexpected),
                ("of another shape", self.wrong_shape),
            )
            if keys
        ]
        super().__init__(f"{source}: tensors do not fit {model}: {'; '.join(parts)}")


def few(keys: Sequence[str], most: int = 12) -> str:
    """The first of many names, and how many more there are."""
    more = f", … and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more


class DownloadError(AttnVizError):
    """A known checkpoint that could not be fetched whole."""


class ImageError(AttnVizError):
    """A picture that cannot be read."""


class ChoiceError(AttnVizError):
    """A layer, head, query, label, site, point or option that does not exist here."""


class CaptureError(AttnVizError):
    """A record that cannot answer."""


class VerificationError(CaptureError):
    """Maps that are not what the model itself says of its attention."""


class OutputError(AttnVizError):
    """A result that cannot be written."""


class MissingExtraError(AttnVizError):
    """An optional package that is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what} needs an optional package: pip install "detr-attnviz[{extra}]"')


class BrokenWeightsWarning(UserWarning):
    """A checkpoint was read whose weights hold NaN or infinity; it names them."""
