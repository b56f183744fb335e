"""The same seed is the same run, byte for byte, in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.world import run_seed

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", [3, 7])
def test_a_seed_runs_the_same_twice(seed: int) -> None:
    first, again = run_seed(seed, 8), run_seed(seed, 8)

    assert first.digest == again.digest
    assert (first.rounds, first.records, first.chunks) == (
        again.rounds,
        again.records,
        again.chunks,
    )
    assert first.digest != run_seed(seed + 1, 8).digest


def test_a_seed_runs_the_same_whatever_the_order_of_sets_is() -> None:
    lines = {_line_of(hash_seed) for hash_seed in ("1", "2")}

    assert len(lines) == 1
    assert lines.pop().startswith("seed 5: 9 nodes, ")


def _line_of(hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--nodes", "9", "--seeds", "1"]
    done = subprocess.run(
        [*command, "--first", "5"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    line = done.stdout.splitlines()[0]
    before, after = line.split("chunks, ")
    return before + after.split("CPU, ")[1]  # all but the time that it took
