"""Tells the node process that something was committed that it should look at.

In the node process it sets an event in the loop; from another process (the Celery worker, a
command) it sends one empty datagram to a socket in the node's home. A lost ring costs at most
the second after which the relay looks by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from django.db import transaction

from p2p.local import local_node

_SOCKET_PATH_BYTES_MAX = 100  # sockaddr_un holds 104 to 108 bytes, by platform

_ring_here: Callable[[], None] | None = None


def ring_on_commit() -> None:
    """Ring the node once the current transaction is committed."""
    transaction.on_commit(ring)


def ring() -> None:
    """Ring the node of this home now; never fails."""
    if _ring_here is not None:
        _ring_here()
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto(b"", str(socket_path(local_node().home)))


def socket_path(home: Path) -> Path:
    """Return where the node of a home listens; a path too long for a socket is replaced."""
    path = home.resolve() / "doorbell.sock"
    if len(str(path).encode()) <= _SOCKET_PATH_BYTES_MAX:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"voidlux-{digest}.sock"


class Doorbell:
    """The node's side: any number of listeners, each with an event of its own."""

    def __init__(self, home: Path) -> None:
        self._path = socket_path(home)
        self._listeners: list[asyncio.Event] = []
        self._transport: asyncio.DatagramTransport | None = None

    def listener(self) -> asyncio.Event:
        """Return a new event that is set at every ring; its owner clears it."""
        event = asyncio.Event()
        self._listeners.append(event)
        return event

    async def start(self) -> None:
        """Listen to rings of this and of other processes."""
        global _ring_here
        loop = asyncio.get_running_loop()
        self._path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind(str(self._path))
        self._path.chmod(0o600)
        bell = self

        class _Protocol(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: object) -> None:
                bell._set()

        self._transport, _ = await loop.create_datagram_endpoint(_Protocol, sock=sock)

        def ring_here() -> None:
            loop.call_soon_threadsafe(bell._set)

        _ring_here = ring_here

    def stop(self) -> None:
        """Stop listening and remove the socket."""
        global _ring_here
        _ring_here = None
        if self._transport is not None:
            self._transport.close()
        self._path.unlink(missing_ok=True)

    def _set(self) -> None:
        for event in self._listeners:
            event.set()
