"""How much room the worktrees of this node take, and whether there is room for another one."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from p2p.local import local_node
from p2p.protocol.errors import DomainError

MB = 1024 * 1024
FULL_DISK_PAUSE_S = 10.0  # until a disk that was full is tried again
# Refused before any work was begun, so that it costs no attempt.
NO_ROOM = "no_room"


@dataclass(slots=True)
class _Fullness:
    reason: str = ""
    until_s: float = 0.0


_full = _Fullness()
_lock = threading.Lock()


def worktrees_dir() -> Path:
    """Return the folder with all worktrees of this node."""
    return local_node().home / "worktrees"


def used_mb(folder: Path) -> float:
    """Return what the files below `folder` take on the disk, in MB."""
    blocks = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                blocks += os.lstat(f"{path}/{name}").st_blocks
            except OSError:
                continue
    return blocks * 512 / MB


def require_room() -> None:
    """DomainError `no_room` where the worktrees take all that VOIDLUX_WORKTREES_MB_MAX allows."""
    reason = _over_quota()
    _note(reason)
    if reason:
        raise DomainError(NO_ROOM, f"no room for another worktree: {reason}")


def note_full_disk(detail: str) -> None:
    """Take no work for a while: the disk was full when a worktree was to be made."""
    _note(detail, time.monotonic() + FULL_DISK_PAUSE_S)


def full_reason() -> str:
    """Return why this node takes no work now for want of room; empty where it does."""
    with _lock:
        return _full.reason


def look_again() -> None:
    """Measure anew while there was no room, so that work goes on as soon as there is some."""
    with _lock:
        waits = not _full.reason or time.monotonic() < _full.until_s
    if not waits:
        _note(_over_quota())


def _over_quota() -> str:
    mb_max = settings.ENVIRONMENT.worktrees_mb_max
    if not mb_max:
        return ""
    used = used_mb(worktrees_dir())
    if used < mb_max:
        return ""
    return f"the worktrees take {used:.0f} MB, VOIDLUX_WORKTREES_MB_MAX is {mb_max}"


def _note(reason: str, until_s: float = 0.0) -> None:
    with _lock:
        _full.reason, _full.until_s = reason, until_s
