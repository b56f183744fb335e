"""One writer per clone at a time, across threads and processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from p2p.protocol.errors import ExternalError

LOCK_TIMEOUT_S = 900.0  # longer than the longest command that holds it
POLL_INTERVAL_S = 0.02
# Who holds the clone's lock knows that no git of ours is at work, and an agent's holds a lock file
# of the clone for moments only.
STALE_LOCK_AGE_S = 60.0


@contextlib.contextmanager
def clone_lock(clone: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the lock beside `clone`; not reentrant; retryable ExternalError after `timeout_s`."""
    path = clone.with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    # The kernel drops the lock with its holder, so a killed worker blocks nobody.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, timeout_s)
        yield
    finally:
        os.close(descriptor)


def clear_stale_locks(clone: Path, *, now_s: float | None = None) -> list[Path]:
    """Remove lock files that a killed git left in `clone`, and return them; hold the lock."""
    oldest_s = (time.time() if now_s is None else now_s) - STALE_LOCK_AGE_S
    removed = []
    for path in [*clone.glob("*.lock"), *clone.glob("refs/**/*.lock")]:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest_s:
                path.unlink()
                removed.append(path)
    return removed


def _acquire(descriptor: int, path: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                message = f"lock {path.name} of the clone was held for {timeout_s:g} s"
                raise ExternalError(message, retryable=True) from None
            time.sleep(POLL_INTERVAL_S)
        else:
            return
