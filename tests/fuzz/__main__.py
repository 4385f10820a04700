"""``python -m tests.fuzz [TARGET …] --cases N --seed S [--coverage]``: one line a target; exit code 1 on findings."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz import campaign
from tests.fuzz.cases import TARGETS


def main() -> None:
    """Runs the targets one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Odd and hostile inputs, many of them.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"Some of {', '.join(TARGETS)}; all without any.")
    parser.add_argument("--cases", type=int, default=1000, metavar="N", help="Cases of each target. (default: 1000)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="The first case's number. (default: 0)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="Cases follow from it. (default: 0)")
    parser.add_argument("--coverage", action="store_true", help="Let atheris look for inputs that reach new code.")
    parser.add_argument(
        "--findings",
        type=Path,
        default=Path(tempfile.gettempdir()) / "attnviz-fuzz",
        metavar="FOLDER",
        help="Where inputs that found something go. (default: attnviz-fuzz in the system's folder for such files)",
    )
    told = parser.parse_args()
    if unknown := set(told.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}: targets are {', '.join(TARGETS)}")
    run = campaign.run
    if told.coverage:
        from tests.fuzz.coverage import run
    found = 0
    for target in told.targets or TARGETS:
        report = run(target, told.cases, told.seed, told.findings, told.first)
        print(report.line(), flush=True)
        for kind, count in report.findings.most_common():
            print(f"  {count} × {kind}", flush=True)
        found += sum(report.findings.values())
    if found:
        print(f"inputs and tracebacks are in {told.findings}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
