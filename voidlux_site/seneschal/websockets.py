"""Answers the handshakes of WebSockets on every path, once the emperor has answered them."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Literal

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientWebSocketResponse,
    ClientWSTimeout,
    ConnectionTimeoutError,
    WSCloseCode,
    WSServerHandshakeError,
    hdrs,
    web,
)
from multidict import CIMultiDict

from p2p.mesh.supervision import TaskOwner
from voidlux_site.seneschal.answers import refusal
from voidlux_site.seneschal.exchange import Interrupted, NotReached, url_of
from voidlux_site.seneschal.following import Upstream
from voidlux_site.seneschal.headers import OF_HANDSHAKE
from voidlux_site.seneschal.limits import CLOSE_S, IDLE_S, MESSAGE_BYTES_MAX, PING_EVERY_S
from voidlux_site.seneschal.moving import Moving
from voidlux_site.seneschal.relay import Relay

Far = ClientWebSocketResponse[Literal[False]]  # its texts stay bytes: nobody here reads them


def is_websocket(request: web.BaseRequest) -> bool:
    """Tell whether a request asks to become a WebSocket."""
    return (
        request.method == hdrs.METH_GET
        and request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"
        and "upgrade" in request.headers.get(hdrs.CONNECTION, "").lower()
    )


class WebSockets:
    """All relays of a Seneschal."""

    def __init__(self, session: ClientSession, moving: Moving) -> None:
        """Take who opens connections to the emperor, and who tells of another one."""
        self._session = session
        self._moving = moving
        self._relays: set[Relay] = set()
        self._goodbyes = TaskOwner("goodbyes")
        self._number = 0

    def __len__(self) -> int:
        return len(self._relays)

    async def stop(self) -> None:
        """Tell every client to come again."""
        for relay in list(self._relays):
            relay.leave()
        await self._goodbyes.stop()

    async def answer(
        self, request: web.BaseRequest, upstream: Upstream, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        """Relay until the WebSocket ends; NotReached or Interrupted before it began."""
        try:
            far = await self._connect(request, upstream, headers)
        except WSServerHandshakeError as error:
            status = HTTPStatus(error.status) if error.status >= 400 else HTTPStatus.BAD_GATEWAY
            return refusal(request, status, "not_upgraded", "the emperor refuses this WebSocket")
        near = web.WebSocketResponse(
            timeout=CLOSE_S,
            autoclose=False,
            autoping=False,
            heartbeat=PING_EVERY_S,
            protocols=(far.protocol,) if far.protocol else (),
            compress=False,
            max_msg_size=MESSAGE_BYTES_MAX,
            decode_text=False,
        )
        try:
            await near.prepare(request)
            await self._relay(near, far, upstream)
        finally:
            if not far.closed:
                # The client is gone and this task about to end: the emperor is told by another.
                self._number += 1
                self._goodbyes.start(f"goodbye {self._number}", _say_goodbye(far))
        return near

    async def _connect(
        self, request: web.BaseRequest, upstream: Upstream, headers: CIMultiDict[str]
    ) -> Far:
        wanted = ",".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()))
        try:
            async with asyncio.timeout(IDLE_S):
                return await self._session.ws_connect(
                    url_of(upstream, request.raw_path),
                    headers=CIMultiDict(
                        (name, value)
                        for name, value in headers.items()
                        if name.lower() not in OF_HANDSHAKE
                    ),
                    protocols=[each.strip() for each in wanted.split(",") if each.strip()],
                    timeout=ClientWSTimeout(ws_close=CLOSE_S),
                    autoclose=False,
                    autoping=False,
                    max_msg_size=MESSAGE_BYTES_MAX,
                    decode_text=False,
                )
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            raise NotReached(str(error)) from error
        except WSServerHandshakeError:
            raise
        except (ClientError, OSError, TimeoutError) as error:
            raise Interrupted(str(error)) from error

    async def _relay(self, near: web.WebSocketResponse, far: Far, upstream: Upstream) -> None:
        relay = Relay(near, far)
        self._relays.add(relay)
        try:
            with self._moving.bound_to(upstream, relay.leave):
                await relay.run()
        finally:
            self._relays.discard(relay)


async def _say_goodbye(far: Far) -> None:
    await far.close(code=WSCloseCode.GOING_AWAY)
