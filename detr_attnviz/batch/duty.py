"""What a run owes before it writes anything: proof, on the first picture that it works on, that its maps are right."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from detr_attnviz.batch.answers import Ready
from detr_attnviz.batch.room import tried
from detr_attnviz.detector import Detector
from detr_attnviz.errors import AttnVizError, ChoiceError, VerificationError
from detr_attnviz.explanation import Explanation
from detr_attnviz.proof import Verification
from detr_attnviz.verification import verify_prepared

_MOST_CELLS = 1500  # a picture of 1333 × 1066 px has 1428 at the usual stride


@dataclass(frozen=True)
class Proof:
    """What the maps of ``picture`` proved, None where memory was too little to prove anything."""

    picture: str
    verification: Verification | None


class Duty:
    """Owed once a run; ``say`` is told what came of it."""

    def __init__(self, detector: Detector, say: Callable[[str], None]) -> None:
        self.proof: Proof | None = None
        self._detector = detector
        self._say = say

    def discharge(self, group: Sequence[Ready], found: Sequence[Explanation | AttnVizError]) -> None:
        """By the first picture of a group that answered where the model itself is; what failed passes the duty on.

        Raises: VerificationError.
        """
        if self.proof is not None:
            return
        for ready, one in zip(group, found, strict=True):
            if isinstance(one, Explanation) and "device" not in one.provenance:
                return self.prove(ready)

    def prove(self, ready: Ready) -> None:
        """By this picture.

        Raises: VerificationError when a map is not what the model itself says.
        """
        device = self._detector.device
        prepared = _of_a_usual_size(self._detector, ready)
        # Without padding, as none of the run's pictures gets any.
        found = tried(device, partial(verify_prepared, self._detector, prepared, with_padding=False))
        self.proof = Proof(ready.source, found)
        if found is None:
            self._say(f"maps not verified: a proof takes more memory than {device.type} has for {ready.source}")
            return
        if found.fault:
            raise VerificationError(
                f"{self._detector.name}: {found.fault}, on {ready.source}; no map was written: attnviz verify shows "
                "every site, --no-verify writes the maps all the same"
            )
        self._say(f"{found.summary} (on {ready.source}{'' if prepared is ready.prepared else ', made smaller'})")


def _of_a_usual_size(detector: Detector, ready: Ready) -> Any:
    """The picture, smaller if it has many cells: the module's own weights, which a run never makes, are their square.

    As large as it is where that is not for us to choose.
    """
    grid = ready.prepared.grid
    factor = math.sqrt(_MOST_CELLS / grid.tokens)
    if factor >= 1:
        return ready.prepared
    shortest_px, longest_px = sorted(max(1, int(factor * side)) for side in (grid.input_height_px, grid.input_width_px))
    try:
        return detector.prepare(ready.image, shortest_px=shortest_px, longest_px=longest_px)
    except ChoiceError:
        return ready.prepared
