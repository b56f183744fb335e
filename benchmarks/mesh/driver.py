"""Runs the subjects, each in a process of its own, round after round within the same minutes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.mesh.plan import Run
from benchmarks.mesh.result import Result, read

ROOT = Path(__file__).resolve().parents[2]
RUN_WITHIN_S = 90.0


@dataclass(slots=True)
class Measured:
    """What all rounds gave, by name; `failures` says why a subject has no figures."""

    figures: dict[str, list[float]] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Take the result of one process."""
        for name, value in result.figures.items():
            self.figures.setdefault(name, []).append(value)
        for name, counts in result.counts.items():
            total = self.counts.setdefault(name, dict.fromkeys(counts, 0))
            for each, count in counts.items():
                total[each] += count
        self.versions |= result.versions


def measure(
    runs: Sequence[Run], *, rounds: int, others_python: Path, tell: Callable[[str], None]
) -> Measured:
    """Run everything; a subject that fails is left out of the next rounds and named."""
    measured = Measured()
    for number in range(1, rounds + 1):
        for run in runs:
            if run.label in measured.failures or (run.once and number > 1):
                continue
            tell(f"round {number} of {rounds}: {run.label}")
            python = others_python if run.package else Path(sys.executable)
            try:
                measured.add(_result_of(run, python))
            except (RuntimeError, OSError) as error:
                measured.failures[run.label] = str(error)
                tell(f"  no figures: {error}")
    return measured


def _result_of(run: Run, python: Path) -> Result:
    """Return what one process measured; RuntimeError with its last words when it failed."""
    command = [str(python), "-m", f"benchmarks.mesh.subjects.{run.subject}", *run.arguments]
    with tempfile.TemporaryFile("w+") as said:
        try:
            # A file for the errors: a pipe that nobody empties would stop the subject.
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                timeout=RUN_WITHIN_S,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise RuntimeError(f"not done after {RUN_WITHIN_S:g} s") from late
        said.seek(0)
        words = said.read().strip().splitlines()
    try:
        return read(done.stdout)
    except (ValueError, TypeError) as error:
        last = words[-1] if words else "it printed nothing"
        raise RuntimeError(f"exit code {done.returncode}: {last[:300]}") from error
