"""The evaluation of many pictures: found, examined, written down one by one, and gathered."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from pathlib import Path

import torch
from torch import nn

from detr_attnviz.batch.faults import OF_A_PICTURE, of_this_picture
from detr_attnviz.batch.images import Picture, find_pictures
from detr_attnviz.batch.plan import settings_hash
from detr_attnviz.batch.room import Room, unheard
from detr_attnviz.detector import Detector
from detr_attnviz.errors import ImageError
from detr_attnviz.evaluation.ledger import Ledger, opened
from detr_attnviz.evaluation.picture import Examiner
from detr_attnviz.evaluation.results import Evaluation, PictureResult
from detr_attnviz.evaluation.settings import EvaluationSettings
from detr_attnviz.files import no_file_at, reason_of
from detr_attnviz.pictures import read_picture

_CPU_BATCH, _GPU_BATCH = 4, 32


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: ``pictures`` of ``total``, of which ``resumed`` were done before.

    ``forwards`` counts those of disturbed pictures and silenced heads that it has made itself; a picture takes
    ``most_forwards`` at most, None if any number of queries may be chosen.
    """

    total: int
    most_forwards: int | None
    pictures: int = 0
    resumed: int = 0
    forwards: int = 0

    def plus(self, forwards: int | None) -> "Progress":
        """One picture further; ``forwards`` is None when it was done before."""
        return replace(
            self,
            pictures=self.pictures + 1,
            resumed=self.resumed + (forwards is None),
            forwards=self.forwards + (forwards or 0),
        )


OnProgress = Callable[[Progress], None]
_Outcome = PictureResult | tuple[str, str]


def evaluate(
    detector: Detector,
    images: str | Path | Sequence[str | Path],
    settings: EvaluationSettings | None = None,
    *,
    results: Path | None = None,
    outside: Path | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
    say: Callable[[str], None] = unheard,
) -> Evaluation:
    """Tries ``settings``' methods on the chosen queries of all ``images``: files, folders, patterns or ``@lists``.

    The file ``results`` gets a line for every picture that is done; given again, with the same settings and model, it
    is gone on with. What lies in the folder ``outside`` is never an input. ``batch_size`` disturbed pictures share a
    forward (4, or 32 on a GPU; a built module gets one at a time): the last bits of the numbers may depend on it, and
    on nothing else. When memory is too little for so many, fewer do from there on, which ``say`` is told.
    ``on_progress`` is called before the first and after every picture. A picture that cannot be read is a failure, not
    an error.

    Raises: ChoiceError for images that are not there or a choice that this detector has not got; OutputError when
    ``results`` cannot be written.
    """
    settings = (settings or EvaluationSettings()).settled(detector)
    batch_size = batch_size or _fitting_batch(detector)
    tell = on_progress or (lambda state: None)
    found = list(find_pictures([images] if isinstance(images, (str, Path)) else images, outside=outside))
    examiner = Examiner(detector, settings, batch_size, Room(detector.device, say))
    state = Progress(len(found), examiner.most_forwards)
    pictures: list[PictureResult] = []
    failures: list[tuple[str, str]] = []
    with opened(results, settings_hash(detector, {"evaluation": settings.as_row(), **_weights_of(detector)})) as ledger:
        tell(state)
        with closing(_outcomes(examiner, ledger, found)) as outcomes:
            for outcome, is_new in outcomes:
                if isinstance(outcome, PictureResult):
                    pictures.append(outcome)
                    state = state.plus(outcome.forwards if is_new else None)
                else:
                    failures.append(outcome)
                    state = state.plus(0)
                tell(state)
    return Evaluation(settings, detector.provenance, tuple(pictures), tuple(failures), state.resumed)


def _fitting_batch(detector: Detector) -> int:
    if not detector.family.takes_batches:
        return 1
    return _GPU_BATCH if detector.device.type == "cuda" else _CPU_BATCH


def _outcomes(
    examiner: Examiner, ledger: Ledger, pictures: Sequence[Picture]
) -> Generator[tuple[_Outcome, bool], None, None]:
    """What became of every picture, and whether it was done now."""
    for picture in pictures:
        outcome: _Outcome
        try:
            digest = _digest(picture)
            known = ledger.find(picture.location, digest)
            known = known if known is not None and known.fits(examiner.settings) else None
            outcome, is_new = known or _examined(examiner, ledger, picture, digest), known is None
        except OF_A_PICTURE as error:
            message = str(of_this_picture(error)).removeprefix(f"{picture.path}: ")
            outcome, is_new = (picture.location, message), True
        yield outcome, is_new


def _examined(examiner: Examiner, ledger: Ledger, picture: Picture, digest: str) -> PictureResult:
    findings = examiner.examine(read_picture(picture.path))
    result = PictureResult(picture.location, digest, findings.queries, findings.forwards)
    ledger.put(result)
    return result


def _weights_of(detector: Detector) -> dict[str, str]:
    """Of a module without a checkpoint file, a hash of all that was learnt: every part of it may change an answer."""
    model = getattr(detector.family, "model", None)
    if detector.checkpoint_sha256 or not isinstance(model, nn.Module):
        return {}
    found = sha256()
    for name, values in model.state_dict().items():
        found.update(name.encode())
        found.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return {"model_sha256": found.hexdigest()}


def _digest(picture: Picture) -> str:
    """Of the file's bytes; "" for what is no file, about which reading it says more."""
    if picture.fault:
        raise ImageError(f"{picture.path}: {picture.fault}")
    if no_file_at(picture.path):
        return ""
    try:
        with picture.path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"{picture.path}: cannot be read: {reason_of(error)}") from None
