"""How far two answers to the same picture lie apart: ``python -m benchmarks.comparing FILE FILE`` prints JSON.

A script of its own, so that nobody who measures has to import numpy.
"""

import json
import sys

import numpy as np

PARTS = ("logits", "boxes", "cross", "encoder")


RELEVANCE = "relevance"


def largest_differences(first: str, second: str) -> dict[str, float]:
    """The largest absolute difference of every part of two ``.npz`` files; of relevance as a share of its peak."""
    with np.load(first) as one, np.load(second) as other:
        if RELEVANCE in one:
            return {RELEVANCE: float((np.abs(one[RELEVANCE] - other[RELEVANCE]) / other[RELEVANCE].max()).max())}
        return {part: float(np.abs(one[part] - other[part]).max()) for part in PARTS}


if __name__ == "__main__":
    print(json.dumps(largest_differences(*sys.argv[1:])))
