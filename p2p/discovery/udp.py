"""The sockets of the beacon: broadcast every 10 seconds, and hear what others broadcast."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass

from p2p.discovery.addresses import ip_of, is_loopback
from p2p.protocol import limits

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reach:
    """Where beacons are heard, where they are sent to, and from which address."""

    hear_at: str
    send_to: str
    send_from: str


def reach_of(host: str) -> Reach | None:
    """Return how a node that listens at `host` uses broadcast; None with IPv6, which has none.

    The sender's address is what others will dial, so it is the one that the node listens at.
    Broadcast on loopback reaches the nodes of the same machine and nobody else.
    """
    if is_loopback(host) and ":" not in host:
        return Reach("127.255.255.255", "127.255.255.255", "127.0.0.1")
    address = ip_of(host)
    if address is not None and address.version == 6:
        return None
    return Reach("0.0.0.0", "255.255.255.255", host if address else "0.0.0.0")


class BeaconSocket(asyncio.DatagramProtocol):
    """Sends our beacon and passes on what comes; a datagram of any kind only costs itself."""

    def __init__(
        self, *, beacon: bytes, reach: Reach, port: int, heard: Callable[[bytes, str], None]
    ) -> None:
        """Take our datagram, where to, the UDP port, and who gets (datagram, source host)."""
        self.port = port
        self._beacon = beacon
        self._reach = reach
        self._heard = heard
        self._transports: list[asyncio.DatagramTransport] = []

    async def open(self) -> None:
        """Listen and prepare to send; OSError when the port is taken by something else."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            hearing = _udp_socket(self._reach.hear_at, self.port, shared=True)
            transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=hearing)
            self._transports.append(transport)
            self.port = int(hearing.getsockname()[1])
            sending = _udp_socket(self._reach.send_from, 0, shared=False)
            sender, _ = await loop.create_datagram_endpoint(_Sender, sock=sending)
            self._transports.append(sender)
            undo.pop_all()

    async def run(self) -> None:
        """Send the beacon every BEACON_EVERY_S, jittered by a quarter, until cancelled."""
        try:
            while True:
                self.send()
                await asyncio.sleep(limits.BEACON_EVERY_S * random.uniform(0.75, 1.25))
        finally:
            self.close()

    def send(self) -> None:
        """Send one beacon, after `open`; a network that is down is named in the log once."""
        self._transports[-1].sendto(self._beacon, (self._reach.send_to, self.port))

    def close(self) -> None:
        """Close both sockets."""
        for transport in self._transports:
            transport.close()
        self._transports.clear()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Pass a datagram on."""
        self._heard(data, addr[0])


class _Sender(asyncio.DatagramProtocol):
    """Only sends; errors such as a network that is down are noted once."""

    def __init__(self) -> None:
        self._failed_as = ""

    def error_received(self, exc: Exception) -> None:
        if str(exc) != self._failed_as:
            self._failed_as = str(exc)
            log.info("the beacon is not sent: %s", exc)


def _udp_socket(host: str, port: int, *, shared: bool) -> socket.socket:
    # Every node of a machine hears the same port. What is sent from must not be shared: the
    # system could give out a port that somebody hears at, and would split what comes there.
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(shared))
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made
