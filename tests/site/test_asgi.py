"""The ASGI application: who is served, who is refused, and with which headers."""

from __future__ import annotations

import pytest
from channels.testing import WebsocketCommunicator

from voidlux_site.asgi import application
from voidlux_site.live import CLOSE_UNAUTHENTICATED


async def test_websocket_of_a_foreign_page_is_refused() -> None:
    headers = [(b"origin", b"http://evil.example")]

    accepted, code = await WebsocketCommunicator(application, "/ws", headers).connect()

    assert (accepted, code) == (False, 1000)


@pytest.mark.django_db(transaction=True)
async def test_a_tool_without_an_origin_reaches_the_consumer_which_asks_for_its_token() -> None:
    socket = WebsocketCommunicator(application, "/ws", [])

    assert (await socket.connect())[0]

    assert await socket.receive_output() == {
        "type": "websocket.close",
        "code": CLOSE_UNAUTHENTICATED,
    }


async def test_websocket_of_an_unknown_path_is_closed() -> None:
    headers = [(b"origin", b"http://localhost:9091")]

    accepted, code = await WebsocketCommunicator(application, "/nowhere", headers).connect()

    assert (accepted, code) == (False, 4404)
