"""One node process per home: an advisory lock that the kernel releases when the process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from p2p.protocol.errors import DomainError

LOCK_FILE = "node.lock"


class HomeLock:
    """The exclusive right to run the node that lives in one home."""

    def __init__(self, home: Path) -> None:
        """Prepare the lock of `home`; `acquire` or `with` takes it."""
        self._home = home
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises DomainError `home_in_use` when another process holds it."""
        descriptor = os.open(self._home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            message = f"VOIDLUX_HOME {self._home} is used by the node with pid {holder}"
            raise DomainError("home_in_use", message) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would let two hold it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> HomeLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
