"""Ends a process with everything that it started, also what has a process group of its own."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def kill_tree(pid: int) -> None:
    """Kill the process group that `pid` leads and all its descendants; gone ones are ignored."""
    # A stopped process starts no further children while they are being listed.
    _signal(pid, signal.SIGSTOP)
    for descendant in descendants(pid):
        _signal(descendant, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _signal(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Return the pids below `pid`, parents first; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            # The command name may hold anything, so the fields are counted behind it.
            parent_pid = int(entry.read_text("utf-8", "replace").rpartition(")")[2].split()[1])
            children.setdefault(parent_pid, []).append(int(entry.parent.name))
    found = [pid]
    for parent_pid in found:
        found.extend(children.get(parent_pid, ()))
    return found[1:]


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
