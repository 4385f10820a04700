"""What fuzzing found: the folder of inputs, a file each, and those that still wait to be answered well."""

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
FOUND = tuple(path.relative_to(CORPUS).as_posix() for path in sorted(CORPUS.glob("*/*")))
WAITING: dict[str, str] = {}
"""Inputs that are not answered well yet, and why: their tests fail, and say so when they no longer do."""
