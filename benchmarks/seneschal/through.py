"""Requests through the Seneschal beside direct ones to the same server, in turn.

    python -m benchmarks.seneschal.through small|node [rounds] [seconds]

`small` is a server that answers at once, `node` a real node's /api/swarm/health.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import cast

from benchmarks.seneschal.scene import HOST, Scene, real_node, seneschal_before, small_server
from benchmarks.swarm.result import print_rounds

CONNECTIONS = 16
ANSWER_S = 30.0
PATH = "/api/swarm/health"
REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n\r\n".encode()
SERVERS: dict[str, Callable[[], AbstractContextManager[int]]] = {
    "small": small_server,
    "node": real_node,
}
DIRECT, THROUGH = "direct, ms a request", "through it, ms a request"
DIRECT_P50, THROUGH_P50, ADDED_P50 = "direct, p50 ms", "through it, p50 ms", "added, p50 ms"


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered, until it is told to stop."""

    def __init__(self, stop_at: float) -> None:
        """Take when (perf_counter, seconds) the last request may begin."""
        self.times_s: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stop_at = stop_at
        self._asked_at = 0.0
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no such class
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer; ask again where it is whole."""
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(head.decode(errors="replace")))
            self._transport.abort()
        elif body.endswith(b"0\r\n\r\n") or len(body) == _length_of(head):
            self._got = b""
            now = time.perf_counter()
            self.times_s.append(now - self._asked_at)
            if now < self._stop_at:
                self._ask()
            else:
                self._transport.close()
                self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail where the connection ends by itself."""
        if not self.done.done():
            self.done.set_exception(error or ConnectionResetError("closed in the middle"))

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        self._transport.write(REQUEST)


def _length_of(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return -1


async def _load(port: int, connections: int, seconds: float) -> tuple[float, list[float]]:
    """Return milliseconds of wall time a request, and each request's time in milliseconds."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    clients = [
        (await loop.create_connection(lambda: Client(began + seconds), HOST, port))[1]
        for _ in range(connections)
    ]
    async with asyncio.timeout(seconds + ANSWER_S):
        await asyncio.gather(*(each.done for each in clients))
    took_ms = (time.perf_counter() - began) * 1000
    times = [each * 1000 for client in clients for each in client.times_s]
    return took_ms / len(times), times


async def measure(scene: Scene, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Ask both in turn, many at once and one by one; the first round of each does not count."""
    found: dict[str, list[float]] = {
        name: [] for name in (DIRECT, THROUGH, DIRECT_P50, THROUGH_P50, ADDED_P50)
    }
    for number in range(rounds + 1):
        direct, _ = await _load(scene.direct, CONNECTIONS, seconds)
        through, _ = await _load(scene.through, CONNECTIONS, seconds)
        _, direct_times = await _load(scene.direct, 1, seconds / 2)
        _, through_times = await _load(scene.through, 1, seconds / 2)
        if number:
            p50, p50_through = statistics.median(direct_times), statistics.median(through_times)
            values = (direct, through, p50, p50_through, p50_through - p50)
            for name, value in zip(found, values, strict=True):
                found[name].append(value)
    return found


def named(server: str, found: dict[str, list[float]]) -> Iterator[tuple[str, list[float]]]:
    """Put the server's name before each figure's."""
    for name, values in found.items():
        yield f"{server}: {name}", values


async def main(server: str, rounds: int, seconds: float) -> None:
    """Measure and print."""
    with SERVERS[server]() as port:
        async with seneschal_before(port) as scene:
            found = await measure(scene, rounds, seconds)
    print_rounds("ms", dict(named(server, found)))


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    given = [*sys.argv[1:], *("small", "5", "2")[len(sys.argv) - 1 :]]
    asyncio.run(main(given[0], int(given[1]), float(given[2])))
