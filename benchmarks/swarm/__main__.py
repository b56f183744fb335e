"""`make bench-swarm`: measure, print the tables, and write docs/benchmarks/swarm.md and .json."""

from __future__ import annotations

import argparse
import time

from rich.console import Console

from benchmarks import report
from benchmarks.report import Figure
from benchmarks.swarm.document import LARGE, SMALL, Summary
from benchmarks.swarm.result import rounds_of

COMMAND = "make bench-swarm"
RUN_WITHIN_S = 300.0
# A process of its own for each: a module of this folder and its arguments.
RUNS = (
    ("begin", str(SMALL), "8"),
    ("begin", str(LARGE), "3"),
    ("monitor", "20", "10"),
    ("dispatch", "1000"),
    ("api_list", "10000"),
)


def main() -> None:
    """Parse the arguments and do all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swarm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often everything is measured")
    parser.add_argument("--only", default="", help="only the programs whose name has this word")
    parser.add_argument("--no-docs", action="store_true", help="print, but write no files")
    given = parser.parse_args()

    console = Console(highlight=False)
    begun_at = time.monotonic()
    figures = measure(given.rounds, given.only, console)
    summary = Summary(figures, rounds=given.rounds, took_s=time.monotonic() - begun_at)
    report.print_table("The swarm, measured", summary.figures())
    for what, wanted, measured, reached in summary.goals():
        console.print(f"{reached or '-':<4}{what}: {measured} ({wanted})", markup=False)
    if not given.no_docs and not given.only:
        report.write("swarm", page=summary.page(COMMAND), figures=summary.figures())


def measure(rounds: int, only: str, console: Console) -> dict[str, Figure]:
    """Run everything and return the figures by name; RuntimeError where a program fails."""
    found: dict[str, tuple[str, list[float]]] = {}
    for number in range(1, rounds + 1):
        for run in RUNS:
            if only not in run[0]:
                continue
            console.print(f"round {number} of {rounds}: {' '.join(run)}", markup=False)
            unit, times = rounds_of([f"benchmarks.swarm.{run[0]}", *run[1:]], RUN_WITHIN_S)
            for name, values in times.items():
                found.setdefault(name, (unit, []))[1].extend(values)
    return {name: Figure.of(name, unit, values) for name, (unit, values) in found.items()}


if __name__ == "__main__":
    main()
