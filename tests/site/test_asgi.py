"""The ASGI application: who is served, who is refused, and with which headers."""

from __future__ import annotations

import pytest
from channels.testing import WebsocketCommunicator

from voidlux_site.asgi import application


@pytest.mark.parametrize("origin", [None, b"http://evil.example"])
async def test_websocket_of_a_foreign_page_is_refused(origin: bytes | None) -> None:
    headers = [] if origin is None else [(b"origin", origin)]

    accepted, code = await WebsocketCommunicator(application, "/ws", headers).connect()

    assert (accepted, code) == (False, 1000)


async def test_websocket_of_an_unknown_path_is_closed() -> None:
    headers = [(b"origin", b"http://localhost:9091")]

    accepted, code = await WebsocketCommunicator(application, "/nowhere", headers).connect()

    assert (accepted, code) == (False, 4404)
