"""`make bench-marketplace`: measure, print, and write docs/benchmarks/marketplace.md and .json."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.marketplace.document import Summary
from benchmarks.report import Figure
from benchmarks.swarm.result import read_rounds

COMMAND = "make bench-marketplace"
ROOT = Path(__file__).resolve().parents[2]
RUN_WITHIN_S = 900.0
# A process of its own for each: a module of this folder and its arguments.
RUNS = (
    ("negotiate", "40"),
    ("whole_trade", "8"),
    ("many_offerings", "10000"),
    ("crowd", "1000"),
)


def main() -> None:
    """Parse the arguments and do all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.marketplace", description=__doc__)
    parser.add_argument("--only", default="", help="only the programs whose name has this word")
    parser.add_argument("--no-docs", action="store_true", help="print, but write no files")
    given = parser.parse_args()

    console = Console(highlight=False)
    begun_at = time.monotonic()
    figures: dict[str, Figure] = {}
    for run in RUNS:
        if given.only not in run[0]:
            continue
        console.print(" ".join(run), markup=False)
        unit, rounds = _result_of(run)
        # Where a program measures several things, each name says its own unit.
        figures |= {name: Figure.of(name, unit, values) for name, values in rounds.items()}
    summary = Summary(figures, took_s=time.monotonic() - begun_at)
    report.print_table("The marketplace, measured", summary.figures())
    for what, wanted, measured, reached in summary.goals():
        console.print(f"{reached or '-':<4}{what}: {measured} ({wanted})", markup=False)
    if not given.no_docs and not given.only:
        report.write("marketplace", page=summary.page(COMMAND), figures=summary.figures())


def _result_of(run: tuple[str, ...]) -> tuple[str, dict[str, list[float]]]:
    module, *arguments = run
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.marketplace.{module}", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_WITHIN_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr[-2000:]}")
    return read_rounds(done.stdout)


if __name__ == "__main__":
    main()
