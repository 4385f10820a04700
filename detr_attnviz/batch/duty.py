"""What a run owes before it writes anything: proof, on the first picture that it works on, that its maps are right."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from detr_attnviz.batch.answers import Ready
from detr_attnviz.batch.room import tried
from detr_attnviz.detector import Detector
from detr_attnviz.errors import AttnVizError, VerificationError
from detr_attnviz.explanation import Explanation
from detr_attnviz.verification import Verification, verify_prepared


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
        found = tried(device, partial(verify_prepared, self._detector, ready.prepared))
        self.proof = Proof(ready.source, found)
        if found is None:
            self._say(f"maps not verified: a proof takes more memory than {device.type} has for {ready.source}")
            return
        if found.fault:
            raise VerificationError(
                f"{self._detector.name}: {found.fault}, on {ready.source}; no map was written: attnviz verify shows "
                "every site, --no-verify writes the maps all the same"
            )
        self._say(f"{found.summary} (on {ready.source})")
