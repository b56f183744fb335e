"""While nobody leads: what is held, what is tried again, and what never is."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from tests.support.mesh_nodes import until
from tests.support.seneschals import HOST, free_port, house, raw_server, serving
from voidlux_site.seneschal import limits


async def hello(request: web.BaseRequest) -> web.Response:
    return web.Response(text=f"{request.method} {await request.text()}")


async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def test_a_request_waits_for_the_emperor() -> None:
    async with serving(hello) as port, house(hold_s=8) as given:
        asked = asyncio.ensure_future(given.client.post(given.url("/"), data="patience"))
        await until(lambda: given.proxy.room.held == 1)

        given.court.crown(port)
        answer = await asked

        assert (answer.status, await answer.text()) == (200, "POST patience")
        assert given.proxy.room.held == 0


async def test_nobody_waits_for_ever() -> None:
    async with house(hold_s=0.05) as given:
        async with given.client.get(given.url("/api/x")) as answer:
            told = await answer.json()

        assert (answer.status, answer.content_type) == (503, "application/problem+json")
        assert answer.headers["Retry-After"] == str(limits.RETRY_AFTER_S)
        assert answer.headers["Cache-Control"] == "no-store"
        assert told == {
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "the swarm has no emperor at the moment",
            "code": "no_emperor",
        }


async def test_a_browser_gets_a_page_that_looks_again() -> None:
    accept = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with house(hold_s=0) as given:
        async with given.client.get(given.url("/"), headers=accept) as answer:
            text = await answer.text()

        assert (answer.status, answer.content_type) == (503, "text/html")
        assert answer.headers["Retry-After"] == str(limits.RETRY_AFTER_S)
        assert f'<meta http-equiv="refresh" content="{limits.RETRY_AFTER_S}">' in text
        assert "the swarm has no emperor at the moment" in text


async def test_no_more_wait_than_there_is_room_for() -> None:
    async with serving(hello) as port, house(hold_s=8, held_max=2) as given:
        waiting = [asyncio.ensure_future(given.client.get(given.url("/"))) for _ in range(2)]
        await until(lambda: given.proxy.room.held == 2)

        async with given.client.get(given.url("/")) as third:
            assert third.status == 503
            assert (await third.json())["detail"] == "2 requests wait for an emperor already"

        given.court.crown(port)
        assert [(await each).status for each in waiting] == [200, 200]


async def test_who_gives_up_waiting_makes_room() -> None:
    async with house(hold_s=8) as given:
        _, writer = await asyncio.open_connection(HOST, given.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await until(lambda: given.proxy.room.held == 1)

        writer.close()

        await until(lambda: given.proxy.room.held == 0)


async def test_a_body_that_waits_is_not_read_yet() -> None:
    async with serving(hello) as port, house(hold_s=8) as given:
        reader, writer = await asyncio.open_connection(HOST, given.port)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        await until(lambda: given.proxy.room.held == 1)
        given.court.crown(port)
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        writer.write(b"now")

        assert (await reader.read()).endswith(b"POST now")
        writer.close()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_what_is_safe_is_asked_again_at_the_new_emperor(method: str) -> None:
    async with serving(hello) as port, house(hold_s=8) as given:

        async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            given.court.crown(port, counter=2)

        async with raw_server(die) as old:
            given.court.crown(old)
            async with given.client.request(method, given.url("/")) as answer:
                assert answer.status == 200
        assert given.proxy.counters["retried"] == 1


async def test_a_question_that_the_old_emperor_leaves_open_moves_to_the_new_one() -> None:
    asked = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    async with raw_server(hang) as old, serving(hello) as port, house(old) as given:
        answer = asyncio.ensure_future(given.client.get(given.url("/")))
        async with asyncio.timeout(8):
            await asked.wait()
            given.court.crown(port, counter=2)
            assert await (await answer).text() == "GET "


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "a"}])
async def test_what_may_have_been_done_is_never_done_again(
    method: str, headers: dict[str, str]
) -> None:
    seen: list[bytes] = []

    async def take_and_die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))

    async with (
        raw_server(take_and_die) as port,
        house(port) as given,
        given.client.request(method, given.url("/"), headers=headers, data=b"{}") as answer,
    ):
        told = await answer.json()

    assert (answer.status, told["code"]) == (502, "interrupted")
    assert "it is not sent again" in told["detail"]
    assert len(seen) == 1


async def test_a_question_with_a_body_that_was_begun_is_not_asked_again() -> None:
    seen: list[bytes] = []

    async def take_and_die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"hello"))

    async with (
        raw_server(take_and_die) as port,
        house(port) as given,
        given.client.get(given.url("/"), data=b"hello") as answer,
    ):
        assert answer.status == 502

    assert len(seen) == 1


async def test_an_emperor_that_drops_everything_is_not_asked_for_ever() -> None:
    async with raw_server(drop) as port, house(port) as given:
        async with given.client.get(given.url("/")) as answer:
            assert answer.status == 502

        assert given.proxy.counters["retried"] == limits.TRIES_MAX - 1


async def test_where_nobody_listens_a_request_waits_and_is_then_refused() -> None:
    async with (
        house(await free_port(), hold_s=0.05) as given,
        given.client.post(given.url("/"), data=b"x" * 1_000) as answer,
    ):
        assert answer.status == 503
        assert (await answer.json())["code"] == "no_emperor"


async def test_health_says_what_is_known() -> None:
    async with serving(hello) as port, house(port) as given:
        async with given.client.get(given.url("/anything")) as answer:
            await answer.read()
        async with given.client.get(given.url("/seneschal/health?now")) as answer:
            told = await answer.json()

    assert answer.status == 200
    assert told == {
        "status": "ok",
        "emperor": "e" * 32,
        "term": 1,
        "address": f"http://{HOST}:{port}",
        "heard_age_s": 1.5,
        "links": 0,
        "open": 0,
        "held": 0,
        "websockets": 0,
        "idle_connections": 1,
        "counters": {"requests": 1},
        "refused_claims": {},
    }


async def test_health_without_an_emperor_is_503() -> None:
    async with house() as given, given.client.get(given.url("/seneschal/health")) as answer:
        assert (answer.status, (await answer.json())["status"]) == (503, "no_emperor")


async def test_the_page_shows_the_emperor() -> None:
    async with (
        serving(hello) as port,
        house(port) as given,
        given.client.get(given.url("/seneschal")) as answer,
    ):
        text = await answer.text()

    assert (answer.status, answer.content_type) == (200, "text/html")
    assert f"http://{HOST}:{port}" in text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_more_than_may_be_open_are_told_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "OPEN_MAX", 1)
    async with serving(hello) as port, house(hold_s=8) as given:
        first = asyncio.ensure_future(given.client.get(given.url("/")))
        await until(lambda: given.proxy.open == 1)
        async with given.client.get(given.url("/")) as second:
            assert (second.status, (await second.json())["code"]) == (
                503,
                "too_many_requests_open",
            )
        given.court.crown(port)
        assert (await first).status == 200


async def test_a_silent_emperor_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voidlux_site.seneschal.exchange.IDLE_S", 0.05)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with (
        raw_server(hang) as port,
        house(port) as given,
        given.client.post(given.url("/")) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (504, "emperor_silent")
