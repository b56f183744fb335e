"""What a program of a benchmark prints: its rounds by name in one line of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def print_rounds(unit: str, rounds: Mapping[str, Sequence[float]]) -> None:
    """Print the measured rounds of each figure; the last line of a subject's output."""
    told = {name: [round(value, 4) for value in values] for name, values in rounds.items()}
    print(json.dumps({"unit": unit, "rounds": told}))


def read_rounds(output: str) -> tuple[str, dict[str, list[float]]]:
    """Return unit and rounds of a subject's output; ValueError or KeyError when there are none."""
    lines = output.strip().splitlines()
    told = json.loads(lines[-1] if lines else "")
    return str(told["unit"]), dict(told["rounds"])


def rounds_of(run: Sequence[str], within_s: float) -> tuple[str, dict[str, list[float]]]:
    """Run a module with its arguments as a process of its own; its unit and rounds.

    RuntimeError with the end of its errors where it fails.
    """
    module, *arguments = run
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr[-2000:]}")
    return read_rounds(done.stdout)
