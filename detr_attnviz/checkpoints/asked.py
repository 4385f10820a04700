"""What a pickle may ask Python for: names that plain weights and a training script's arguments need, and no others."""

import re
from typing import NamedTuple

from detr_attnviz.plain import one_line

PLAIN = re.compile(
    r"collections\.(OrderedDict|Counter)|argparse\.Namespace|builtins\.(set|bytearray|complex)|_codecs\.encode"
    r"|pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path"
    r"|torch\._utils\._rebuild_(tensor(_v[23])?|parameter(_with_state)?)|torch\._tensor\._rebuild_from_type_v2"
    r"|torch\.(storage\.|cuda\.)?\w*Storage|torch\.(Size|Tensor|device|nn\.parameter\.Parameter)"
    r"|torch\.(u?int|float|bfloat|complex|bool|half|double|long|short)\w*"
)
"""What plain weights and a training script's arguments ask for."""

HAVE_STATE = frozenset({"collections.OrderedDict", "argparse.Namespace"})
"""What of that is given attributes after it was made."""

SPECIAL_TENSORS = re.compile(r"torch\._utils\._rebuild_\w+|torch\.serialization\._get_layout|torch\.per_\w+")
"""What other tensors than plain ones ask for: sparse, nested, quantized, without values."""

_LATIN = ("latin1", "latin-1", "iso-8859-1")
_LONGEST = 100


class Named(NamedTuple):
    """What Python would import by this name, or (``is_made``) what a call of that would give."""

    name: str
    is_made: bool = False


def is_usual_call(name: str, args: tuple[object, ...]) -> bool:
    """Whether honest files call what has this name with such arguments; tensors are looked at elsewhere.

    A container is made of what is in the file, never of a number or a tensor, which would tell it any size.
    """
    if name in ("builtins.set", "collections.OrderedDict", "collections.Counter"):
        return not args or (len(args) == 1 and (isinstance(args[0], list) or _is_made(args[0], "a dictionary")))
    if name == "_codecs.encode":
        return len(args) == 2 and isinstance(args[0], str) and args[1] in _LATIN
    if name == "builtins.bytearray":
        is_text = len(args) == 2 and isinstance(args[0], str) and args[1] in _LATIN
        is_data = len(args) == 1 and (isinstance(args[0], (bytes, bytearray)) or _is_made(args[0], "_codecs.encode"))
        return not args or is_text or is_data
    if name == "builtins.complex":
        return all(isinstance(part, (int, float)) for part in args)
    if name.startswith("pathlib."):
        return all(isinstance(part, str) for part in args)
    if name.startswith("torch._utils._rebuild_parameter"):
        return bool(args) and isinstance(args[0], Named) and args[0].name.startswith("torch._")
    if name == "torch.device":
        return all(isinstance(part, (str, int)) for part in args)
    return name == "argparse.Namespace" and not args


def printable(name: str) -> str:
    """A name that cannot break a line, nor fill a screen."""
    text = one_line(name[: _LONGEST + 1])
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _is_made(value: object, name: str) -> bool:
    return isinstance(value, Named) and value.is_made and value.name == name
