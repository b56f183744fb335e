"""Signals that a tool's hooks write into a file: one line each, a name and Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

SIGNALS = "signals"
TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Signal:
    """The last signal of a tool: its name and when it came."""

    name: str
    at: datetime


def last_signal(run_dir: Path) -> Signal | None:
    """Return the last whole and sound line of a run's signals; None when there is none."""
    try:
        with (run_dir / SIGNALS).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines(keepends=True)
    except OSError:
        return None
    for line in reversed(lines):
        if line.endswith("\n") and (signal := _parsed(line)) is not None:
            return signal
    return None


def _parsed(line: str) -> Signal | None:
    name, _, seconds = line.strip().partition(" ")
    try:
        return Signal(name, datetime.fromtimestamp(float(seconds), UTC))
    except (ValueError, OverflowError, OSError):
        return None
