"""Processes that may read only what they are allowed to, even where the tests run as root."""

import os
import shutil
import subprocess

import pytest

_POWERS = "-dac_override,-dac_read_search"


def without_root() -> list[str]:
    """What to put before a command, so that permissions hold for it; skips where root cannot give up its powers."""
    if os.name != "posix":
        pytest.skip("permissions of another kind here")
    if os.getuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root reads everything, and there is no setpriv to give that up with")
    prefix = ["setpriv", f"--bounding-set={_POWERS}"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("root reads everything, and may not give that up here")
    return prefix
