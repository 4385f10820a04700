"""Lets the tests import the scripts of `samples/`, which are run from their own folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "samples"))
