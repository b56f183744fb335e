"""`make bench-mesh`: measure, print the tables, and write docs/benchmarks/mesh.md and .json."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.mesh.document import Summary
from benchmarks.mesh.driver import measure
from benchmarks.mesh.plan import RUNS

COMMAND = "make bench-mesh"


def main() -> None:
    """Parse the arguments and do all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mesh", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured")
    parser.add_argument(
        "--others",
        type=Path,
        default=Path(".venv-bench/bin/python"),
        help="the Python that has what VoidLux is compared with",
    )
    parser.add_argument("--only", default="", help="only the subjects whose label has this word")
    parser.add_argument("--no-docs", action="store_true", help="print, but write no files")
    given = parser.parse_args()

    console = Console()
    begun_at = time.monotonic()
    runs = [run for run in RUNS if given.only in run.label]
    # Not resolved: a virtual environment is known by the path of its link to Python.
    others = given.others.absolute()
    measured = measure(runs, rounds=given.rounds, others_python=others, tell=console.print)
    summary = Summary(measured, rounds=given.rounds, took_s=time.monotonic() - begun_at)
    for title, figures in summary.tables():
        if figures:
            report.print_table(title, figures)
    console.print(summary.text(COMMAND), markup=False, highlight=False)
    if not given.no_docs and not given.only:
        report.write("mesh", page=summary.page(COMMAND), figures=summary.figures())


if __name__ == "__main__":
    main()
