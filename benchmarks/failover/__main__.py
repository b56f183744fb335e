"""`make bench-failover`: measure, print, and write docs/benchmarks/failover.md and .json."""

from __future__ import annotations

import argparse
import time

from rich.console import Console

from benchmarks import report
from benchmarks.failover.document import Summary
from benchmarks.failover.kills import RUNS
from benchmarks.report import Figure
from benchmarks.seneschal.idle_sockets import SOCKETS
from benchmarks.swarm.result import rounds_of

COMMAND = "make bench-failover"
RUN_WITHIN_S = 300.0
KILL_WITHIN_S = 120.0


def main() -> None:
    """Parse the arguments and do all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="how often the emperor is killed")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of requests that count")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long one round takes")
    parser.add_argument("--only", default="", help="only the programs whose name has this word")
    parser.add_argument("--no-docs", action="store_true", help="print, but write no files")
    given = parser.parse_args()

    console = Console(highlight=False)
    begun_at = time.monotonic()
    rounds = (str(given.rounds), str(given.seconds))
    figures: dict[str, Figure] = {}
    # A process of its own for each: a module of the benchmarks and its arguments.
    for run in (
        ("failover.kills", str(given.runs)),
        ("seneschal.through", "small", *rounds),
        ("seneschal.through", "node", *rounds),
        ("seneschal.idle_sockets", str(SOCKETS)),
    ):
        if given.only not in " ".join(run):
            continue
        console.print(" ".join(run), markup=False)
        within_s = RUN_WITHIN_S + given.runs * KILL_WITHIN_S
        unit, told = rounds_of([f"benchmarks.{run[0]}", *run[1:]], within_s)
        figures |= {name: Figure.of(name, unit, values) for name, values in told.items()}
    summary = Summary(figures, took_s=time.monotonic() - begun_at, rounds=given.runs)
    report.print_table("Failover, measured", summary.figures())
    for what, wanted, measured, reached in summary.goals():
        console.print(f"{reached or '-':<4}{what}: {measured} ({wanted})", markup=False)
    if not given.no_docs and not given.only:
        report.write("failover", page=summary.page(COMMAND), figures=summary.figures())


if __name__ == "__main__":
    main()
