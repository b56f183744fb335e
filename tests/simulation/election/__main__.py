"""`python -m tests.simulation.election`: runs seeds of elections and prints what they came to."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.election.claims import Broken
from tests.simulation.election.world import run_seed


def main() -> int:
    """Run what the command line asks for; return 1 when a seed failed."""
    parser = argparse.ArgumentParser(prog="tests.simulation.election", description=__doc__)
    parser.add_argument("--seeds", type=int, default=60, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    wanted = parser.parse_args()
    counts: Counter[str] = Counter()
    failed, began = 0, time.process_time()
    for seed in range(wanted.first, wanted.first + wanted.seeds):
        try:
            result = run_seed(seed)
        except Broken as broken:
            failed += 1
            print(f"FAILED {broken}", flush=True)
            continue
        counts.update(result.counts)
        counts["terms"] += result.terms
    facts = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
    print(
        f"{wanted.seeds - failed} of {wanted.seeds} seeds held, "
        f"{time.process_time() - began:.0f} s of CPU: {facts}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
