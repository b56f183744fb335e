"""A Seneschal on loopback before servers of a test: who is emperor is what the test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace

from aiohttp import ClientSession, DummyCookieJar, web

from voidlux_site.seneschal.following import Upstream
from voidlux_site.seneschal.proxy import Manners, Proxy
from voidlux_site.seneschal.service import Seneschal

HOST = "127.0.0.1"


class Court:
    """Plays the mesh: names the emperor that a test wants."""

    def __init__(self) -> None:
        self.upstream: Upstream | None = None
        self.refusals: list[Upstream] = []
        self.follower = SimpleNamespace(refused=Counter())
        self.place = SimpleNamespace(p2p_port=0)
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    def crown(self, port: int | None, counter: int = 1) -> None:
        """Let the node at the port be emperor; None: there is none."""
        self.upstream = None if port is None else Upstream("e" * 32, counter, HOST, port)
        self._changed.set()
        self._changed = asyncio.Event()
        for listener in self._listeners:
            listener()

    async def changed(self) -> None:
        await self._changed.wait()

    def refuses(self, upstream: Upstream) -> None:
        self.refusals.append(upstream)
        if self.upstream == upstream:
            self.crown(None)

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def peers(self) -> list[object]:
        return []

    def heard_age_s(self) -> float | None:
        return 1.5 if self.upstream else None

    async def start(self) -> int:
        return 0

    async def stop(self) -> None:
        return None


class House:
    """A running Seneschal, its court, and a client that changes nothing by itself."""

    def __init__(
        self, seneschal: Seneschal, court: Court, port: int, client: ClientSession
    ) -> None:
        self.seneschal = seneschal
        self.court = court
        self.port = port
        self.client = client

    @property
    def proxy(self) -> Proxy:
        return self.seneschal.proxy

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self.port}{path}"


@contextlib.asynccontextmanager
async def house(upstream_port: int | None = None, **manners: object) -> AsyncIterator[House]:
    """Run a Seneschal whose emperor is at the port, None: it has none yet."""
    court = Court()
    seneschal = Seneschal(court, Manners(**manners))  # type: ignore[arg-type]
    _, port = await seneschal.start(HOST, 0)
    if upstream_port is not None:
        court.crown(upstream_port)
    client = ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False)
    try:
        yield House(seneschal, court, port, client)
    finally:
        await client.close()
        await seneschal.stop()


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[web.BaseRequest], object], **settings: object
) -> AsyncIterator[int]:
    """Serve every request by the handler; yields the port."""
    server = web.Server(handler, access_log=None, auto_decompress=False, **settings)  # type: ignore[arg-type]
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def raw_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object],
) -> AsyncIterator[int]:
    """Serve plain connections; yields the port."""
    writers: list[asyncio.StreamWriter] = []

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)  # type: ignore[misc]
        writer.close()

    server = await asyncio.start_server(each, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def free_port() -> int:
    """Return a port at which nobody listens."""
    server = await asyncio.start_server(lambda *_: None, HOST, 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port


async def exchange_raw(port: int, data: bytes) -> bytes:
    """Send bytes and return all that comes until the other side closes."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(data)
    async with asyncio.timeout(8):
        answer = await reader.read()
    writer.close()
    return answer
