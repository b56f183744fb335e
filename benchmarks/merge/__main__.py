"""`make bench-merge`: measure, print the table, and write docs/benchmarks/merge.md and .json."""

from __future__ import annotations

import argparse
import time

from rich.console import Console

from benchmarks import report
from benchmarks.merge.document import Summary
from benchmarks.report import Figure
from benchmarks.swarm.result import rounds_of

COMMAND = "make bench-merge"
RUN_WITHIN_S = 900.0
FILES, BRANCHES, AMONG = 2_000, 20, 16


def main() -> None:
    """Parse the arguments and do all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.merge", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often the speed is measured")
    parser.add_argument("--no-docs", action="store_true", help="print, but write no files")
    given = parser.parse_args()

    console = Console(highlight=False)
    begun_at = time.monotonic()
    figures: dict[str, Figure] = {}
    for run in (
        ("speed", FILES, BRANCHES, given.rounds),
        ("culprit", AMONG, 1),
        ("culprit", AMONG, 4),
    ):
        console.print(" ".join(str(word) for word in run), markup=False)
        unit, rounds = rounds_of([f"benchmarks.merge.{run[0]}", *map(str, run[1:])], RUN_WITHIN_S)
        figures |= {name: Figure.of(name, unit, values) for name, values in rounds.items()}
    summary = Summary(figures, rounds=given.rounds, took_s=time.monotonic() - begun_at)
    report.print_table("The merge gate, measured", summary.figures())
    for what, wanted, measured, reached in summary.goals():
        console.print(f"{reached:<4}{what}: {measured} ({wanted})", markup=False)
    if not given.no_docs:
        report.write("merge", page=summary.page(COMMAND), figures=summary.figures())


if __name__ == "__main__":
    main()
