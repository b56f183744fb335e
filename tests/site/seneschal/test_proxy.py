"""HTTP through the Seneschal, on real sockets: what comes out is what went in, as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from tests.support.mesh_nodes import until
from tests.support.seneschals import (
    HOST,
    exchange_raw,
    free_port,
    house,
    raw_server,
    serving,
)


async def echo(request: web.BaseRequest) -> web.Response:
    body = await request.read()
    told = {
        "method": request.method,
        "path": request.raw_path,
        "headers": [[name, value] for name, value in request.headers.items()],
        "body": body.decode(),
    }
    return web.json_response(told)


def told_headers(told: dict) -> dict[str, str]:
    return {name.lower(): value for name, value in told["headers"]}


@pytest.mark.parametrize(
    "path", ["/", "/a%2Fb/../c?x=%20&y=a+b", "//double//", "/a?", "/%zz?%", "/x?q=a#b"]
)
async def test_path_and_query_arrive_as_they_were_sent(path: str) -> None:
    async with serving(echo) as port, house(port) as given:
        request = f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()

        answer = await exchange_raw(given.port, request)

        assert json.loads(answer.partition(b"\r\n\r\n")[2])["path"] == path


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"])
async def test_every_method_passes_with_its_body(method: str) -> None:
    async with serving(echo) as port, house(port) as given:
        async with given.client.request(method, given.url("/x"), data=b"hello") as answer:
            told = await answer.json()

        assert (told["method"], told["body"]) == (method, "hello")


async def test_the_host_stays_and_hop_by_hop_headers_go() -> None:
    async with serving(echo) as port, house(port) as given:
        answer = await exchange_raw(
            given.port,
            b"GET / HTTP/1.1\r\nHost: swarm.example:9090\r\nConnection: close, X-Mine\r\n"
            b"X-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: Basic x\r\n"
            b"X-Kept: a\r\nX-Kept: b\r\nCookie: s=1\r\nAuthorization: Bearer t\r\n\r\n",
        )

        told = json.loads(answer.partition(b"\r\n\r\n")[2])
        headers = [[name, value] for name, value in told["headers"]]
        assert headers == [
            ["Host", "swarm.example:9090"],
            ["X-Kept", "a"],
            ["X-Kept", "b"],
            ["Cookie", "s=1"],
            ["Authorization", "Bearer t"],
            ["X-Forwarded-For", HOST],
            ["X-Forwarded-Proto", "http"],
            ["X-Forwarded-Host", "swarm.example:9090"],
            ["Via", "1.1 seneschal"],
        ]


SPOOFED = {
    "X-Forwarded-For": "10.9.9.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "bank.example",
    "Forwarded": "for=10.9.9.9",
}


async def test_what_a_stranger_says_of_itself_is_not_believed() -> None:
    async with serving(echo) as port, house(port) as given:
        async with given.client.get(given.url("/"), headers=SPOOFED) as answer:
            headers = told_headers(await answer.json())

        assert headers["x-forwarded-for"] == HOST
        assert headers["x-forwarded-proto"] == "http"
        assert headers["x-forwarded-host"] == f"{HOST}:{given.port}"
        assert "forwarded" not in headers


async def test_what_a_trusted_proxy_says_is_handed_on() -> None:
    trusted = (ipaddress.ip_network("127.0.0.0/8"),)
    async with serving(echo) as port, house(port, trusted=trusted) as given:
        async with given.client.get(given.url("/"), headers=SPOOFED) as answer:
            headers = told_headers(await answer.json())

        assert headers["x-forwarded-for"] == f"10.9.9.9, {HOST}"
        assert headers["x-forwarded-proto"] == "https"
        assert headers["x-forwarded-host"] == "bank.example"


async def test_an_answer_keeps_status_reason_and_headers() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 299 Quite Fine\r\nContent-Length: 2\r\nSet-Cookie: a=1; Path=/\r\n"
            b"Set-Cookie: b=2\r\nContent-Encoding: gzip\r\nX-Name: caf\xc3\xa9\r\n"
            b"Connection: X-Hop\r\nX-Hop: 1\r\nDate: then\r\n\r\nok"
        )

    async with raw_server(handler) as port, house(port) as given:
        answer = await exchange_raw(
            given.port, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        )

    assert answer.split(b"\r\n") == [
        b"HTTP/1.1 299 Quite Fine",
        b"Content-Length: 2",
        b"Set-Cookie: a=1; Path=/",
        b"Set-Cookie: b=2",
        b"Content-Encoding: gzip",
        b"X-Name: caf\xc3\xa9",
        b"Date: then",
        b"Via: 1.1 seneschal",
        b"Connection: close",
        b"",
        b"ok",
    ]


async def test_the_first_chunk_of_an_answer_arrives_before_the_last_is_sent() -> None:
    first_seen = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await first_seen.wait()
        await response.write(b"data: 2\n\n")
        return response

    async with (
        serving(handler) as port,
        house(port) as given,
        asyncio.timeout(8),
        given.client.get(given.url("/events")) as answer,
    ):
        assert await answer.content.readany() == b"data: 1\n\n"
        first_seen.set()
        assert await answer.read() == b"data: 2\n\n"
        assert answer.headers["Content-Type"] == "text/event-stream"


async def test_the_first_chunk_of_a_body_arrives_before_the_last_is_sent() -> None:
    arrived = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        first = await request.content.readany()
        arrived.set()
        return web.Response(body=first + b"|" + await request.content.read())

    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        await arrived.wait()
        yield b"two"

    async with (
        serving(handler) as port,
        house(port) as given,
        asyncio.timeout(8),
        given.client.post(given.url("/"), data=body()) as answer,
    ):
        assert await answer.read() == b"one|two"


async def test_ten_megabytes_pass_both_ways_whole() -> None:
    blob = bytes(range(256)) * 40_960

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for chunk in request.content.iter_any():
            await response.write(chunk)
        return response

    async with (
        serving(handler) as port,
        house(port) as given,
        given.client.put(given.url("/blob"), data=blob) as answer,
    ):
        got = await answer.read()

    assert hashlib.sha256(got).digest() == hashlib.sha256(blob).digest()


async def test_a_client_that_does_not_read_stops_the_emperor() -> None:
    written = 0

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1_000):
            await response.write(bytes(100_000))
            written += 100_000
        return response

    async with serving(handler) as port, house(port) as given:
        reader, writer = await asyncio.open_connection(HOST, given.port, limit=1_000)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readexactly(10)
        before = -1
        while before != written:  # until it has stood still for a while
            before = written
            for _ in range(200):
                await asyncio.sleep(0.001)

        assert 0 < written < 60_000_000
        writer.transport.abort()


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_answers_without_a_body_end_and_the_connection_lives_on(
    method: str, status: int
) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(
            status=status, headers={"ETag": '"1"'}, body=b"x" * 5 if status == 200 else None
        )

    async with serving(handler) as port, house(port) as given:
        for _ in range(2):
            async with given.client.request(method, given.url("/")) as answer:
                assert (answer.status, await answer.read()) == (status, b"")
                assert answer.headers["ETag"] == '"1"'
                if method == "HEAD":
                    assert answer.headers["Content-Length"] == "5"


async def test_redirects_and_cookies_are_the_clients_own() -> None:
    cookies = []

    async def handler(request: web.BaseRequest) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(status=302, headers={"Location": "/there", "Set-Cookie": "s=1"})

    async with serving(handler) as port, house(port) as given:
        for _ in range(2):
            async with given.client.get(given.url("/"), allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (302, "/there")

    assert cookies == [None, None]


async def test_a_body_is_asked_for_only_when_the_emperor_takes_it() -> None:
    async with serving(echo) as port, house(port) as given:
        reader, writer = await asyncio.open_connection(HOST, given.port)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        answer = await reader.read()
        writer.close()

    assert json.loads(answer.partition(b"\r\n\r\n")[2])["body"] == "hi"


async def test_a_client_that_goes_away_ends_the_request_at_the_emperor() -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        return web.Response()

    async with serving(handler, handler_cancellation=True) as port, house(port) as given:
        _, writer = await asyncio.open_connection(HOST, given.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(8):
            await begun.wait()
            writer.close()
            await gone.wait()
        await until(lambda: given.proxy.open == 0)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_an_answer_that_breaks_off_never_looks_whole(version: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()

    async with raw_server(handler) as port, house(port) as given:
        reader, writer = await asyncio.open_connection(HOST, given.port)
        writer.write(f"GET / HTTP/{version}\r\nHost: h\r\n\r\n".encode())
        got = b""
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(8):
                while chunk := await reader.read(1_000):
                    got += chunk
        writer.close()

    assert not got.endswith(b"0\r\n\r\n")


async def test_an_answer_shorter_than_it_says_is_an_error_for_the_client() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await writer.drain()

    async with raw_server(handler) as port, house(port) as given:
        with pytest.raises(aiohttp.ClientError):
            async with given.client.get(given.url("/")) as answer:
                await answer.read()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nX-Name: caf\xe9\r\n\r\n", b"400"),
        (b"GET http://other.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n", b"400"),
        (b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example\r\n\r\n", b"400"),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", b"417"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),
    ],
)
async def test_what_cannot_be_passed_on_is_refused(request_bytes: bytes, status: bytes) -> None:
    seen = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append(request.raw_path)
        return web.Response()

    async with serving(handler) as port, house(port) as given:
        reader, writer = await asyncio.open_connection(HOST, given.port)
        writer.write(request_bytes)
        async with asyncio.timeout(8):
            line = await reader.readline()
        writer.close()

    assert line.split()[1] == status
    assert seen == []


async def test_a_failed_connection_is_no_fault_of_the_next_request() -> None:
    nobody = await free_port()
    async with serving(echo) as port, house(nobody, hold_s=8) as given:
        asked = asyncio.ensure_future(given.client.post(given.url("/x"), data=b"once"))
        await until(lambda: given.proxy.room.held == 1)
        given.court.crown(port, counter=2)
        answer = await asked

        assert (answer.status, (await answer.json())["body"]) == (200, "once")
        assert [each.port for each in given.court.refusals] == [nobody]
    with contextlib.suppress(aiohttp.ClientError):
        answer.close()
