"""The one line that ``batch`` says of its first picture's proof."""

import re


def is_proof_on(line: str, picture: str) -> bool:
    """Whether ``line``, without its end, says that the maps of ``picture`` are proven, and nothing else."""
    words = r"attnviz: maps verified: within \d\.\de[+-]\d\d of what the model itself says, at \d sites"
    return re.fullmatch(rf"{words} \(on {re.escape(picture)}\)", line) is not None
