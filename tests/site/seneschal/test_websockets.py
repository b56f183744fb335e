"""WebSockets through the Seneschal: every path, both ways, codes and reasons included."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from tests.support.mesh_nodes import until
from tests.support.seneschals import HOST, House, free_port, house, serving
from voidlux_site.seneschal import websockets


class Hall:
    """A server of WebSockets that echoes and keeps what it saw."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.open: list[web.WebSocketResponse] = []
        self.ended: list[int | None] = []
        self.pings: list[bytes] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.paths.append(request.raw_path)
        self.headers.append(dict(request.headers))
        if request.path == "/closed":
            return web.Response(status=403)
        socket = web.WebSocketResponse(protocols=("b",), autoping=False, compress=False)
        await socket.prepare(request)
        self.open.append(socket)
        try:
            async for message in socket:
                await self._hear(socket, message)
        finally:
            self.ended.append(socket.close_code)
        return socket

    async def _hear(self, socket: web.WebSocketResponse, message: aiohttp.WSMessage) -> None:
        if message.type is WSMsgType.PING:
            self.pings.append(message.data)
            await socket.pong(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        elif message.data == "end":
            await socket.close(code=4404, message=b"no such thing")
        elif message.data == "break":
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)


@contextlib.asynccontextmanager
async def hall() -> AsyncIterator[tuple[Hall, House]]:
    served = Hall()
    async with serving(served.answer, handler_cancellation=True) as port, house(port) as given:
        yield served, given


@pytest.mark.parametrize("path", ["/ws", "/agents/7/terminal?cols=80", "/a%2Fb"])
async def test_every_path_is_relayed(path: str) -> None:
    async with hall() as (served, given), given.client.ws_connect(given.url(path)) as socket:
        await socket.send_str("grüß dich")
        await socket.send_bytes(b"\x00\xff")
        async with asyncio.timeout(8):
            assert (await socket.receive()).data == "grüß dich"
            assert (await socket.receive()).data == b"\x00\xff"

    assert len(served.paths) == 1
    assert served.paths[0].partition("?")[2] == path.partition("?")[2]


async def test_the_emperor_sees_who_asks_and_chooses_the_protocol() -> None:
    headers = {"Cookie": "s=1", "Authorization": "Bearer t", "Host": "swarm.example"}
    async with (
        hall() as (served, given),
        given.client.ws_connect(
            given.url("/ws"), protocols=("a", "b"), headers=headers, origin="http://swarm.example"
        ) as socket,
    ):
        assert socket.protocol == "b"

    seen = served.headers[0]
    assert {name: seen[name] for name in headers} == headers
    assert seen["Origin"] == "http://swarm.example"
    assert seen["Sec-WebSocket-Protocol"] == "a,b"
    assert seen["X-Forwarded-For"] == HOST


async def test_the_clients_code_reaches_the_emperor() -> None:
    async with hall() as (served, given):
        socket = await given.client.ws_connect(given.url("/ws"))
        await socket.close(code=4001, message=b"bye")

        await until(lambda: served.ended)

        assert (socket.close_code, served.ended) == (4001, [4001])


async def test_the_emperors_code_and_reason_reach_the_client() -> None:
    async with (
        hall() as (_, given),
        given.client.ws_connect(given.url("/ws"), autoclose=False) as socket,
    ):
        await socket.send_str("end")
        async with asyncio.timeout(8):
            message = await socket.receive()

    assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4404, "no such thing")


async def test_pings_are_answered_by_the_far_end() -> None:
    async with (
        hall() as (served, given),
        given.client.ws_connect(given.url("/ws"), autoping=False) as socket,
    ):
        await socket.ping(b"there?")
        async with asyncio.timeout(8):
            message = await socket.receive()

    assert (message.type, message.data, served.pings) == (WSMsgType.PONG, b"there?", [b"there?"])


async def test_a_refused_handshake_is_refused_with_the_same_status() -> None:
    async with hall() as (_, given):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await given.client.ws_connect(given.url("/closed"))

    assert refusal.value.status == 403


async def test_a_new_emperor_sends_the_clients_to_itself() -> None:
    async with hall() as (served, given), hall() as (heir, _heirs_house):
        async with given.client.ws_connect(given.url("/ws"), autoclose=False) as socket:
            await socket.send_str("hi")
            await socket.receive()
            assert len(given.proxy.websockets) == 1

            assert _heirs_house.court.upstream is not None
            given.court.crown(_heirs_house.court.upstream.port, counter=2)
            async with asyncio.timeout(8):
                message = await socket.receive()
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1012)
            await socket.close()
        await until(lambda: served.ended)
        async with given.client.ws_connect(given.url("/ws")) as socket:
            await socket.send_str("hi again")
            assert (await socket.receive()).data == "hi again"

    assert served.ended == [1012]
    assert heir.paths == ["/ws"]


async def test_a_silent_moment_of_the_emperor_ends_no_websocket() -> None:
    async with hall() as (_, given), given.client.ws_connect(given.url("/ws")) as socket:
        upstream = given.court.upstream
        assert upstream is not None
        given.court.crown(None)
        given.court.crown(upstream.port)
        await socket.send_str("still here")
        async with asyncio.timeout(8):
            assert (await socket.receive()).data == "still here"


async def test_an_emperor_that_breaks_off_lets_the_client_come_again() -> None:
    async with (
        hall() as (_, given),
        given.client.ws_connect(given.url("/ws"), autoclose=False) as socket,
    ):
        await socket.send_str("break")
        async with asyncio.timeout(8):
            message = await socket.receive()

    assert (message.type, message.data) == (WSMsgType.CLOSE, 1012)


async def test_a_client_that_breaks_off_is_gone_at_the_emperor() -> None:
    async with hall() as (served, given):
        socket = await given.client.ws_connect(given.url("/ws"))
        transport = socket.get_extra_info("socket")
        assert transport is not None
        socket._response.connection.transport.abort()  # type: ignore[union-attr]

        await until(lambda: served.ended)
        await until(lambda: len(given.proxy.websockets) == 0)

        assert served.ended == [1001]


async def test_a_message_beyond_the_limit_ends_the_websocket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websockets, "MESSAGE_BYTES_MAX", 1_000)
    async with hall() as (served, given):
        async with given.client.ws_connect(given.url("/ws"), autoclose=False) as socket:
            await socket.send_bytes(bytes(1_001))
            async with asyncio.timeout(8):
                message = await socket.receive()
        await until(lambda: served.ended)

    assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)
    assert len(served.ended) == 1


async def test_who_does_not_read_stops_who_writes() -> None:
    sent = 0

    async def pour(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        for _ in range(1_000):
            await socket.send_bytes(bytes(100_000))
            sent += 100_000
        return socket

    async with serving(pour, handler_cancellation=True) as port, house(port) as given:
        reader, writer = await asyncio.open_connection(HOST, given.port, limit=1_000)
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readexactly(12)
        before = -1
        while before != sent:
            before = sent
            for _ in range(200):
                await asyncio.sleep(0.001)
        writer.transport.abort()

    assert 0 < sent < 60_000_000


async def test_a_handshake_waits_for_the_emperor() -> None:
    served = Hall()
    async with serving(served.answer) as port, house(await free_port(), hold_s=8) as given:
        opening = asyncio.ensure_future(given.client.ws_connect(given.url("/ws")))
        await until(lambda: given.proxy.room.held == 1)
        given.court.crown(port, counter=2)
        async with await opening as socket:
            await socket.send_str("hi")
            assert (await socket.receive()).data == "hi"


async def test_a_seneschal_that_stops_sends_its_clients_away() -> None:
    served = Hall()
    async with serving(served.answer) as port, house(port) as given:
        socket = await given.client.ws_connect(given.url("/ws"), autoclose=False)
        stopping = asyncio.ensure_future(given.seneschal.stop())
        async with asyncio.timeout(8):
            message = await socket.receive()
            await socket.close()
            await stopping

    assert (message.type, message.data) == (WSMsgType.CLOSE, 1012)
