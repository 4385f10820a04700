"""What a pickle may ask Python for: names that plain weights and a training script's arguments need, and no others."""

import re
from typing import NamedTuple

from detr_attnviz.plain import one_line

PLAIN = re.compile(
    r"collections\.(OrderedDict|Counter)|argparse\.Namespace|builtins\.(set|bytearray|complex)|_codecs\.encode"
    r"|pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path"
    r"|torch\._utils\._rebuild_(tensor(_v[23])?|parameter)|torch\._tensor\._rebuild_from_type_v2"
    r"|torch\.(storage\.|cuda\.)?\w*Storage|torch\.(Size|Tensor|device|nn\.parameter\.Parameter)"
    r"|torch\.(u?int|float|bfloat|complex|bool|half|double|long|short)\w*"
)
"""What plain weights and a training script's arguments ask for."""

CALLED = re.compile(
    r"collections\..+|argparse\..+|builtins\..+|_codecs\..+|pathlib\..+|torch\._\w+\..+|torch\.(Size|device)"
)
"""What of that they call; the others are only named."""

HAVE_STATE = frozenset({"collections.OrderedDict", "argparse.Namespace"})
"""What of that is given attributes after it was made."""

LATIN = ("latin1", "latin-1", "iso-8859-1")
"""How bytes are written in a pickle of protocol 2."""


class Named(NamedTuple):
    """What Python would import by this name, or (``is_made``) what a call of that would give."""

    name: str
    is_made: bool = False


def printable(name: str) -> str:
    """A name that cannot break a line, nor fill a screen."""
    text = one_line(name)
    return text if len(text) <= 100 else text[:99] + "…"
