"""Cases led by the code that they reach, where atheris is installed: it keeps inputs that reach something new."""

import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random

from tests.fuzz import cases as fuzzing
from tests.fuzz.campaign import MOST_S, Report
from tests.fuzz.found import CORPUS, FOUND, WAITING


def run(target: str, cases: int, seed: int, folder: Path, first: int = 0) -> Report:
    """As ``campaign.run``, but until the first finding, as libFuzzer does; ``first`` has no meaning."""
    if find_spec("atheris") is None:
        sys.exit("--coverage needs atheris: pip install atheris (it has builds for Python 3.11 to 3.13)")
    place = folder / target
    place.mkdir(parents=True, exist_ok=True)
    report, began = Report(target), time.monotonic()
    with tempfile.TemporaryDirectory() as corpus:
        options = [f"-runs={cases}", f"-seed={seed + 1}", f"-timeout={MOST_S:.0f}", "-rss_limit_mb=6000"]
        options += [f"-artifact_prefix={place}/", "-print_final_stats=1", "-max_len=200000", "-detect_leaks=0"]
        command = [sys.executable, "-m", "tests.fuzz.coverage", target, *options, corpus]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    report.seconds = time.monotonic() - began
    _read(report, done.stderr, done.returncode)
    return report


def _read(report: Report, said: str, code: int) -> None:
    """What libFuzzer says at its end."""
    facts = dict(line.removeprefix("stat::").split(":", 1) for line in said.splitlines() if line.startswith("stat::"))
    report.cases = int(facts.get("number_of_executed_units", 0))
    report.slowest_s = float(facts.get("slowest_unit_time_sec", 0))
    report.memory = int(facts.get("peak_rss_mb", 0)) << 20
    if code:
        lines = [
            line for line in said.splitlines() if line.startswith(("FOUND ", "==", "SUMMARY"))
        ] or said.splitlines()
        report.findings["; ".join(lines[-2:])] += 1


def _fuzz(name: str, options: list[str]) -> None:
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["detr_attnviz"]):
        fuzzed = fuzzing.target(name)
    known = [(CORPUS / found).read_bytes() for found in FOUND if found.startswith(f"{name}/") and found not in WAITING]
    seeds = [*fuzzed.seeds(), *known]
    for number, data in enumerate(seeds):
        (Path(options[-1]) / f"seed-{number}").write_bytes(data)

    def mutate(data: bytes, most_bytes: int, seed: int) -> bytes:
        return fuzzed.mutate(data, Random(seed))[:most_bytes]

    def answer(data: bytes) -> None:
        fault = fuzzing.fault_of(name, data)
        if fault is not None:
            sys.stderr.write(f"FOUND {fault.kind} at {fault.place}\n{fault.text}\n")
            raise RuntimeError(fault.kind)

    answer(fuzzed.seeds()[0])  # brings what a first case imports, whose seconds would count as a hang
    atheris.Setup([name, *options], answer, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    _fuzz(sys.argv[1], sys.argv[2:])
