"""What the owner of a built module says about it: its preparation, its output, its attention."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from torch import Tensor

from detr_attnviz.errors import AttnVizError, ChoiceError
from detr_attnviz.families.base import Prediction
from detr_attnviz.families.given import Given
from detr_attnviz.memory import is_out_of_memory
from detr_attnviz.sites import AttentionSite

if TYPE_CHECKING:
    from PIL import Image

Score = Literal["softmax", "sigmoid"]
Preprocess = Callable[["Image.Image"], Any]
Postprocess = Callable[[Any], Any]

_LOGITS, _BOXES = ("pred_logits", "logits"), ("pred_boxes", "boxes")
_DETR_NAMES, _BEFORE = {_LOGITS[0], _BOXES[0]}, "aux_outputs"


@dataclass(frozen=True)
class OwnCode:
    """Everything that ``load`` takes about a module.

    ``preprocess`` turns an upright RGB picture into what the module is called with (see ``Given``), ``postprocess`` its
    output into logits ``[1 queries classes]`` and boxes ``[1 queries 4]``, cxcywh in 0–1 of the picture without
    padding: a pair, or under DETR's names for them. ``sites`` are where its attention is. With ``score`` "softmax" the
    last class is no-object, with "sigmoid" every class has a probability of its own.
    """

    preprocess: Preprocess | None = None
    postprocess: Postprocess | None = None
    sites: Sequence[AttentionSite] | None = None
    score: Score = "softmax"

    def __post_init__(self) -> None:
        for name in ("preprocess", "postprocess"):
            found = getattr(self, name)
            if found is not None and not callable(found):
                raise ChoiceError(f"{name} must be a function; found {type(found).__name__}")
        if self.score not in get_args(Score):
            raise ChoiceError(
                f"score is {self.score!r}: it must be 'softmax' (the last class is no-object) or 'sigmoid'"
            )

    @property
    def is_given(self) -> bool:
        """Whether anything was said."""
        return self != OwnCode()

    def given(self, image: "Image.Image") -> Given:
        """What ``preprocess`` makes of a picture.

        Raises: ChoiceError when it fails, or gives no picture.
        """
        assert self.preprocess is not None
        with _naming("preprocess"):
            value = self.preprocess(image)
        return Given.of(value)

    def prediction(self, output: Any) -> Prediction:
        """Logits and boxes of the module's ``output``.

        Raises: ChoiceError when ``postprocess`` fails, or they are not there or of another shape.
        """
        if self.postprocess is None:
            return _prediction(output, "the module's output", "give postprocess=…, which turns it into (logits, boxes)")
        with _naming("postprocess"):
            answer = self.postprocess(output)
        return _prediction(answer, "what postprocess gave", "let it return (logits, boxes)")

    def layer_predictions(self, output: Any, layers: int) -> tuple[Prediction, ...]:
        """What ``layers`` decoder layers predict, by the ``aux_outputs`` of DETR's training; () where they do not fit.

        A ``postprocess`` knows the whole output alone.
        """
        before = output.get(_BEFORE) if isinstance(output, Mapping) else getattr(output, _BEFORE, None)
        if self.postprocess is not None or not isinstance(before, (list, tuple)) or len(before) + 1 != layers:
            return ()
        last = self.prediction(output)
        shapes = (last.logits.shape, last.boxes.shape)
        found = [self.prediction(one) for one in before if isinstance(one, Mapping) and one.keys() >= _DETR_NAMES]
        fits = [one for one in found if (one.logits.shape, one.boxes.shape) == shapes]
        return (*fits, last) if len(fits) == len(before) else ()


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Says in one line whose error it was; memory that ran out stays what it is, as a caller may help."""
    try:
        yield
    except AttnVizError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ChoiceError(f"{what} failed: {type(error).__name__}: {error}") from error


def _prediction(answer: Any, what: str, remedy: str) -> Prediction:
    is_pair = type(answer) in (tuple, list) and len(answer) == 2
    logits, boxes = answer if is_pair else (_part(answer, names, what, remedy) for names in (_LOGITS, _BOXES))
    for name, found, last in (("logits", logits, "classes"), ("boxes", boxes, "4")):
        if not isinstance(found, Tensor) or found.dim() != 3 or (last == "4" and found.shape[-1] != 4):
            shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ChoiceError(f"{name} in {what} are {shape}: expected a tensor [1 queries {last}]; {remedy}")
    if logits.shape[:2] != boxes.shape[:2]:
        raise ChoiceError(
            f"{what} has logits {list(logits.shape)} and boxes {list(boxes.shape)}: as many rows of each were "
            f"expected; {remedy}"
        )
    return Prediction(logits, boxes)


def _part(answer: Any, names: Sequence[str], what: str, remedy: str) -> Any:
    for name in names:
        value = answer.get(name) if isinstance(answer, Mapping) else getattr(answer, name, None)
        if value is not None:
            return value
    raise ChoiceError(f"{what} has no {' or '.join(names)}: found {type(answer).__name__}; {remedy}")
