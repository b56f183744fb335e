"""Dialling: seeds for ever with back-off, a wanted node once around its addresses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from p2p.mesh.connection import Connection
from p2p.mesh.settings import MeshLimits
from p2p.mesh.supervision import TaskOwner
from p2p.protocol.fields import Address

log = logging.getLogger(__name__)


class Backoff:
    """Waits that double from the least to the longest, each jittered by a quarter."""

    def __init__(self, min_s: float, max_s: float, jitter: Callable[[], float]) -> None:
        """Take the least and longest wait and a source of random numbers from 0 to 1."""
        self._min_s = min_s
        self._max_s = max_s
        self._jitter = jitter
        self._next_s = min_s

    def next_s(self) -> float:
        """Return the next wait in seconds."""
        wait_s = self._next_s
        self._next_s = min(self._max_s, wait_s * 2)
        return wait_s * (0.75 + 0.5 * self._jitter())

    def reset(self) -> None:
        """Begin anew with the least wait."""
        self._next_s = self._min_s


class Dialler:
    """Keeps the mesh's wishes for connections; makes connections only through `connect`."""

    def __init__(
        self,
        *,
        new_connection: Callable[[], Connection],
        linked: Callable[[str], bool],
        may_dial: Callable[[str], bool],
        limits: MeshLimits,
        jitter: Callable[[], float],
    ) -> None:
        """Take a maker of outbound connections and two questions about the present links.

        `may_dial` gets '' for an address of which the node is not known; `jitter()` returns a
        number from 0 to 1.
        """
        self._new_connection = new_connection
        self._linked = linked
        self._may_dial = may_dial
        self._limits = limits
        self._jitter = jitter
        self._tasks = TaskOwner("dialler")
        self._peers_changed = asyncio.Event()

    def keep(self, host: str, port: int) -> None:
        """Keep a link to whoever listens at this address, for as long as the mesh runs."""
        self._tasks.start(f"seed {host}:{port}", self._keep(host, port))

    def round(self, node_id: str, addresses: Sequence[Address]) -> None:
        """Try each address once until the node is linked; nothing when that is under way."""
        if not self._linked(node_id):
            self._tasks.start(f"node {node_id}", self._round(node_id, list(addresses)))

    def peers_changed(self) -> None:
        """Wake those who wait for a node to be gone."""
        self._peers_changed.set()
        self._peers_changed = asyncio.Event()

    async def stop(self) -> None:
        """End all dialling."""
        await self._tasks.stop()

    async def _keep(self, host: str, port: int) -> None:
        backoff = Backoff(self._limits.backoff_min_s, self._limits.backoff_max_s, self._jitter)
        while True:
            if self._may_dial(""):
                connection = await self._connect(host, port)
                if connection is not None and connection.rejected_as == "self_connection":
                    log.info("%s:%d is this node itself and is not dialled again", host, port)
                    return
                if connection is not None and connection.peer is not None:
                    await self._until_gone(connection.peer.node_id)
                    backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def _round(self, node_id: str, addresses: list[Address]) -> None:
        for address in addresses:
            if self._linked(node_id) or not self._may_dial(node_id):
                return
            await self._connect(address.host, address.port)

    async def _connect(self, host: str, port: int) -> Connection | None:
        """Return the connection once its handshake ended either way; None when TCP failed."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.dial_timeout_s):
                _, connection = await loop.create_connection(self._new_connection, host, port)
        except (OSError, TimeoutError) as error:
            log.debug("dial %s:%d: %s", host, port, error or type(error).__name__)
            return None
        await connection.ready
        return connection

    async def _until_gone(self, node_id: str) -> None:
        while self._linked(node_id):
            await self._peers_changed.wait()
