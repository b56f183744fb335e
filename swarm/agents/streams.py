"""Output of terminals as it comes: one FIFO per session, all read by the node's loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents.threads import on_thread
from swarm.agents.tmux import TmuxServer

CHUNK_BYTES = 64 * 1024


class Streams:
    """Tells which sessions have put something out; what it was is read off their screens."""

    def __init__(self, folder: Path, on_output: Callable[[str], None]) -> None:
        """Keep the FIFOs in `folder`; `on_output` gets the name of a session."""
        self._folder = folder
        self._on_output = on_output
        self._open: dict[str, int] = {}

    async def follow(self, tmux: TmuxServer, session: str) -> None:
        """Follow a session from now on, unless it is followed already."""
        if session in self._open:
            return
        fifo = self._folder / f"{session}.fifo"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(fifo, 0o600)
        descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._open[session] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._read, session)
        try:
            await on_thread(tmux.pipe, session, fifo)
        except (DomainError, ExternalError):
            self.forget(session)  # it is gone already; the next look says so

    def forget(self, session: str) -> None:
        """Follow a session no more."""
        descriptor = self._open.pop(session, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        with contextlib.suppress(OSError):
            (self._folder / f"{session}.fifo").unlink()

    def keep_only(self, sessions: set[str]) -> None:
        """Forget every session that is not among these."""
        for session in set(self._open) - sessions:
            self.forget(session)

    def _read(self, session: str) -> None:
        try:
            data = os.read(self._open[session], CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.forget(session)  # its program or its session has ended
        self._on_output(session)
