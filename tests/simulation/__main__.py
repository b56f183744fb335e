"""`make simulate`: runs seeds of the simulation and prints a line for each.

The first broken invariant of a seed is printed with the one command that replays it.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import tests.conftest as suite
from tests.simulation.chronicle import Broken
from tests.simulation.world import run_seed


def main() -> int:
    """Run what the command line asks for; return 1 when a seed failed."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--nodes", type=int, help="size of the network; by default the seed says")
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    wanted = parser.parse_args()
    try:
        return _run(wanted.first, wanted.seeds, wanted.nodes)
    finally:
        suite.pytest_unconfigure()


def _run(first: int, seeds: int, nodes: int | None) -> int:
    failed: list[int] = []
    began = time.monotonic()
    for seed in range(first, first + seeds):
        try:
            result = run_seed(seed, nodes)
        except Broken as broken:
            failed.append(seed)
            print(f"FAILED {broken}", flush=True)
            continue
        print(
            f"seed {seed}: {result.nodes} nodes, {result.records} records, equal after "
            f"{result.rounds} rounds, {result.virtual_s:.0f} virtual s, {result.chunks:,} chunks, "
            f"{result.cpu_s:.1f} s of CPU, trace {result.digest[:12]}",
            flush=True,
        )
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{seeds - len(failed)} of {seeds} seeds held, {time.monotonic() - began:.0f} s, "
        f"at most {memory_mb:.0f} MB"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
