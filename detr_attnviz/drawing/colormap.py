"""Colour maps as tables of 256 colours, by matplotlib's names.

Drawing a picture must not cost the import of matplotlib, so the default and the maps used most are packed here
(a test compares them with matplotlib's); any other name is read from matplotlib once.
"""

import base64
import difflib
import functools
import zlib

import numpy as np
from jaxtyping import UInt8

from detr_attnviz.errors import ChoiceError

DEFAULT = "inferno"
SIGNED_DEFAULT = "coolwarm"
"""For maps with values below zero: its ends are seen on dark and on light pictures, its middle is grey."""

# Per map: base64 of zlib of the differences along the table, one channel after the other.
_PACKED = {
    "cividis": (
        "eNqVUgcOgCAMbKsv8T/+/zdURqULYjxu4YixCrDGeR4VVIGNfTWKmVTAqoNPF7C7+ydov6dYaDq197z6c8GwCrT60/HC"
        "z83ywL4m+RJt4TnTZMEO5x7fd0gc5R/gac5j7cBUUR1VI9D0DHbJXoZic70mFLMowtJYuA7gAQ1yRBw="
    ),
    "coolwarm": (
        "eNp9kusRxCAIhIGyUsMVfX0Z9RR5ic7Bsmsy+cE35kEknEVqaQ5dM790baPuGQrEAZcAxKZmSXQLFbdLLFbzYVl/kIhkPFieGihP"
        "Ge9GIzwG421EuDDC/n+2l9V56wiwNMxGPVZdM1XrmFZe7vI1pnB/AYgg0GwwiiG3YtXhvJgbWutGdWFKx+O8fZTaY5P/BeqjfquC"
        "Uuw="
    ),
    "inferno": (
        "eNqNUtEWhSAIA/H+/x9bB8YIfLo4RqYuwEREHeoIW/DFsW5v6PT3iwo5vsBvhzOXSkzgQkLijvBpDzzAARJBvSG/MEu5"
        "0lUoagpRTXi6bdOL7jDnWq1mx3t1o+714WrnuBBQhfHU7dvmYLPVQtNizZKMZFzBSSSF5Kv9d/Mf8nNdAMmRlNzsjHgG"
        "nR5q4oJ5pfm7rirDS7Bws43h9ts02y8Lhmuf"
    ),
    "magma": (
        "eNptUgkOwCAIg/n/NzPlriKlNC4gDomID/igr89Jsa0QzkCT6AGLDLKlqzmcrDtt082hbgSiL5m1ZE6angOnVEW50pl6"
        "VsWQWYZpsFvmCOiagg3AfpC6UYvPDoSHQS5uZfZayetgRfAt6yG6q1u0UUwjkAruEqQWdKAOwj5aQp4A42pv1jxeLb7c"
        "+/p7/ddMLbc="
    ),
    "plasma": (
        "eNp9UVsOhEAIQ2YTfzy3x9ZNhkfb3VEeLYiJWI7P8DGcbIukYJCinSlDEvRgxmRVWdczGKYTRGFWCLsTZrQX7D0n0vaW"
        "ESw/3eviD/238GX7MHagQiYIihORg/qGaINOOQypLmIXhLjbStyAkjUyQIpF//eSvdDrU2PoZfL4crbc/rq+zMSeCQ=="
    ),
    "turbo": (
        "eNplkkESwyAIRRVN7Lon6b73v1UiBT6ojR+ESSbBh/jJmbIrIUhKGlOyFWJxqKupd8/ybNJv7H+pSUSFiqmWqu4qCGIm"
        "Uvdgpm6LtIhWAmICm1OxLTPmFFy2Jp4h3ghm6kOX+jsgRqKA2tEWM84HLogD2I+VcKwTP69HOhro/ISPiAaQ9yaGOha+"
        "muJ1SB07xLhU3/ZqrZ1qouM8TLUeGFrx7r0twIN34g0q7H/j5f85X54nruMJTcLN0ZH6AcUFHHeQseuiMezZUGe/Cyjo"
        "RTkuyy4p/QNGXWiQ"
    ),
    "viridis": (
        "eNqNUgkOxCAIxPq1fUL//xTpgoMD1mSXOUATqaZ8RJrTxSSiTFMqk4FUVuRU7FWC62O4QDMYEZfRYXRFdKpXHJnNz7TV"
        "2kEeVZ35j5Af631DDqXQl0FBWEHYiXc8uz58uwi7p4acmn10XoscupecsDo7CjO6piHG8mGEfRE2asIB1Xm5+O8PghSI"
        "CQ=="
    ),
}
PACKED = tuple(_PACKED)


@functools.lru_cache(maxsize=32)
def table(name: str) -> UInt8[np.ndarray, "256 3"]:
    """The 256 RGB colours of the map ``name``, from low to high; ``_r`` at its end turns it round; read-only.

    Raises: ChoiceError for a name that matplotlib does not know, with the ones closest to it.
    """
    plain = name.removesuffix("_r")
    if plain in _PACKED:
        colors = _unpack(_PACKED[plain])
        colors = colors[::-1].copy() if name != plain else colors
    else:
        colors = _read_from_matplotlib(name)
    colors.flags.writeable = False
    return colors


def color_at(name: str, level: int) -> tuple[int, int, int]:
    """One colour of the map ``name``: 0 is its lowest, 255 its highest."""
    red, green, blue = table(name)[level].tolist()
    return red, green, blue


def _unpack(packed: str) -> UInt8[np.ndarray, "256 3"]:
    steps = np.frombuffer(zlib.decompress(base64.b64decode(packed)), dtype=np.uint8)
    return np.ascontiguousarray(steps.reshape(3, 256).cumsum(axis=1, dtype=np.uint8).T)


def _read_from_matplotlib(name: str) -> UInt8[np.ndarray, "256 3"]:
    from matplotlib import colormaps

    if name not in colormaps:
        close = difflib.get_close_matches(name.lower(), list(colormaps), n=4, cutoff=0.5) or list(PACKED)
        raise ChoiceError(
            f"no colour map is called {name!r}: close to it are {', '.join(close)}; "
            "any name of a matplotlib colour map is accepted"
        )
    colors = np.asarray(colormaps[name](np.linspace(0.0, 1.0, 256), bytes=True), dtype=np.uint8)
    return np.ascontiguousarray(colors[:, :3])
