"""One WebSocket between a browser and the emperor, frame by frame, both ways."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Protocol

from aiohttp import WSCloseCode, WSMessage, WSMsgType

# Codes that may stand in a close frame; the others only say that none came.
_NOT_SENDABLE = frozenset({1004, 1005, 1006, 1015})


class Socket(Protocol):
    """What both ends of a relay can do (aiohttp's server and client WebSockets)."""

    @property
    def close_code(self) -> int | None: ...

    async def receive(self) -> Any: ...

    async def send_frame(self, message: bytes, opcode: WSMsgType) -> None: ...

    async def close(self, *, code: int = ..., message: bytes = ...) -> bool: ...


class Ending(Exception):
    """A relay is over; says with which code and reason the other side is told so."""

    def __init__(self, code: int, reason: bytes = b"") -> None:
        """Take a code that may be sent and at most 123 bytes of reason."""
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Relay:
    """Passes frames on until either side closes, breaks, or there is another emperor."""

    def __init__(self, client: Socket, upstream: Socket) -> None:
        """Take both ends, with their handshakes done."""
        self._client = client
        self._upstream = upstream
        self._left = asyncio.Event()

    def leave(self) -> None:
        """Close both ends: the client is to come again, and finds the new emperor then."""
        self._left.set()

    async def run(self) -> int:
        """Relay until it ends and close both sides; return the code that the client was told."""
        ways = [
            asyncio.ensure_future(self._pass(self._client, self._upstream, WSCloseCode.GOING_AWAY)),
            asyncio.ensure_future(
                self._pass(self._upstream, self._client, WSCloseCode.SERVICE_RESTART)
            ),
            asyncio.ensure_future(self._until_left()),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            ending = next(iter(done)).result()
        except asyncio.CancelledError:
            ending = Ending(WSCloseCode.GOING_AWAY)
            raise
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        await asyncio.gather(_close(self._client, ending), _close(self._upstream, ending))
        return int(ending.code)

    async def _until_left(self) -> Ending:
        await self._left.wait()
        return Ending(WSCloseCode.SERVICE_RESTART, b"the emperor changed")

    async def _pass(self, source: Socket, sink: Socket, lost: int) -> Ending:
        """Pass frames on in order; `lost` is told where the source ends without saying why."""
        while True:
            message: WSMessage = await source.receive()
            kind = message.type
            if kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG):
                try:
                    await sink.send_frame(message.data, kind)
                except (ConnectionError, RuntimeError):
                    return Ending(lost)
            elif kind is WSMsgType.CLOSE:
                reason = (message.extra or "").encode()
                return Ending(_sendable(message.data, WSCloseCode.OK), reason)
            elif kind is WSMsgType.ERROR:
                return Ending(_sendable(source.close_code, lost))
            else:
                return Ending(lost)


def _sendable(code: int | None, otherwise: int) -> int:
    if code and 1000 <= code <= 4999 and code not in _NOT_SENDABLE:
        return code
    return otherwise


async def _close(end: Socket, ending: Ending) -> None:
    with contextlib.suppress(Exception):
        await end.close(code=ending.code, message=ending.reason)
