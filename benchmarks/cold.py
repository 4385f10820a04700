"""Whole commands from a cold start: wall time and peak memory, medians over alternating runs.

``python -m benchmarks.cold [--runs N] [--json FILE]`` runs every command once unmeasured (so that files are in the
page cache), then all of them by turns.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

SAMPLE = Path(__file__).parent.parent / "samples" / "shapes_landscape.png"
COMMANDS = {
    "attnviz --help": ("--help",),
    "attnviz render SAMPLE -c demo": ("render", str(SAMPLE), "-c", "demo", "-o", "x.png", "--device", "cpu"),
    "attnviz inspect-weights demo": ("inspect-weights", "demo"),
    "attnviz verify SAMPLE -c demo": ("verify", str(SAMPLE), "-c", "demo", "--device", "cpu"),
}
BARE = "python -c 'import torch'"


def run(command: tuple[str, ...], folder: str) -> tuple[float, float]:
    """(seconds, peak MB) of one child process.

    A child starts out with its parent's peak, so this file imports nothing large.
    """
    quiet = [(os.POSIX_SPAWN_OPEN, handle, os.devnull, os.O_WRONLY, 0) for handle in (1, 2)]
    before = os.getcwd()
    os.chdir(folder)
    try:
        started = time.perf_counter()
        child = os.posix_spawn(sys.executable, (sys.executable, *command), os.environ, file_actions=quiet)
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - started
    finally:
        os.chdir(before)
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_maxrss / 1024


def measure(runs: int) -> dict[str, dict[str, float]]:
    """Medians of all commands, run by turns."""
    commands = {name: ("-m", "detr_attnviz", *args) for name, args in COMMANDS.items()} | {BARE: ("-c", "import torch")}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(runs + 1):
            for name, command in commands.items():
                result = run(command, folder)
                if turn:
                    found[name].append(result)
    return {
        name: {"seconds": median(one for one, _ in results), "peak_mb": median(one for _, one in results)}
        for name, results in found.items()
    }


def main() -> None:
    """Measures, prints a table, and writes JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    table = measure(given.runs)
    machine = (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, torch {version('torch')}"
    )
    print(f"medians of {given.runs} runs · {machine}")
    for name, row in table.items():
        print(f"{name:34} {row['seconds']:7.2f} s {row['peak_mb']:8.0f} MB")
    if given.json:
        given.json.write_text(json.dumps({"machine": machine, "runs": given.runs, "commands": table}, indent=2))


if __name__ == "__main__":
    main()
