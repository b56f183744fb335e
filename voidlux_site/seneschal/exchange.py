"""One request and its answer, streamed both ways between a client and the emperor."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Protocol

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ConnectionTimeoutError,
    hdrs,
    web,
)
from multidict import CIMultiDict
from yarl import URL

from voidlux_site.seneschal.following import Upstream
from voidlux_site.seneschal.headers import NotText, add_via, passed_on
from voidlux_site.seneschal.limits import IDLE_S
from voidlux_site.seneschal.moving import Moving

# To close with a reset: what ends in the middle must not look like an end.
_NO_LINGER = struct.pack("ii", 1, 0)


class NotReached(Exception):
    """The emperor takes no connection: nothing of the request was sent."""


class Interrupted(Exception):
    """The exchange ended before its answer began; the emperor may have acted on the request."""


class Idle(Exception):
    """Nothing moved for too long before the answer began."""


class BrokenRequest(Exception):
    """The client's body ended in the middle, or is no valid one."""


class BrokenAnswer(Exception):
    """The emperor's answer cannot be handed on."""


class Limit(Protocol):
    """A deadline that can be put off, as `asyncio.timeout` makes them."""

    def when(self) -> float | None: ...

    def expired(self) -> bool: ...

    def reschedule(self, when: float | None) -> None: ...


def put_off(limit: Limit) -> None:
    """Let the deadline be IDLE_S from now, unless it has passed."""
    with contextlib.suppress(RuntimeError):  # it is over already
        limit.reschedule(asyncio.get_running_loop().time() + IDLE_S)


class PassedOn(web.StreamResponse):
    """An answer with the headers that the emperor gave, and no other."""

    def with_body_at_once(self, at_once: bool) -> None:
        """Let the headers wait for the first bytes of the body, which come at once."""
        self._send_headers_immediately = not at_once

    async def _prepare_headers(self) -> None:
        had_type, had_server = hdrs.CONTENT_TYPE in self.headers, hdrs.SERVER in self.headers
        await super()._prepare_headers()
        if not had_type:
            self.headers.popall(hdrs.CONTENT_TYPE, None)
        if not had_server:
            self.headers.popall(hdrs.SERVER, None)


class RequestBody:
    """A client's body as it comes: read only when somebody wants it, and only once."""

    def __init__(self, request: web.BaseRequest) -> None:
        """Take the request that it belongs to."""
        self.begun = False
        self.broken = False
        self._request = request
        self._expected = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"

    def chunks(self, limit: Limit) -> AsyncIterator[bytes] | None:
        """Return what comes, as it comes; None for a request without a body."""
        return self._chunks(limit) if self._request.body_exists else None

    async def _chunks(self, limit: Limit) -> AsyncIterator[bytes]:
        self.begun = True
        transport = self._request.transport
        if self._expected and transport is not None:
            self._expected = False
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            while chunk := await self._request.content.readany():
                put_off(limit)
                yield chunk
        except Exception:
            self.broken = True
            raise


class Exchange:
    """Tries to have one request answered; may be tried again while nothing was answered."""

    def __init__(self, request: web.BaseRequest, headers: CIMultiDict[str], moving: Moving) -> None:
        """Take the request, its headers for the emperor, and who tells of another emperor."""
        self.body = RequestBody(request)
        self._request = request
        self._headers = headers
        self._moving = moving
        self._moved = False

    async def answered_by(
        self, upstream: Upstream, session: ClientSession, *, movable: bool
    ) -> web.StreamResponse:
        """Pass the request on and the answer back; whatever is returned was sent.

        `movable`: given up where the emperor changes before the answer begins. Raises NotReached,
        Interrupted, Idle, BrokenRequest or BrokenAnswer, all before the client got anything.
        """
        self._moved = False
        response: PassedOn | None = None
        try:
            async with asyncio.timeout(IDLE_S) as limit:
                answer = await self._ask(upstream, session, limit, movable=movable)
                try:
                    response = self._begin(answer)
                    await self._stream(answer, response, limit)
                finally:
                    answer.close()
        except (ClientError, OSError, TimeoutError) as error:
            if response is not None and response.prepared:
                self._cut()
                return response
            raise self._as_failure(error) from error
        return response

    async def _ask(
        self, upstream: Upstream, session: ClientSession, limit: Limit, *, movable: bool
    ) -> ClientResponse:
        asked = session.request(
            self._request.method,
            url_of(upstream, self._request.raw_path),
            headers=self._headers,
            data=self.body.chunks(limit),
            allow_redirects=False,
        )
        if not movable:
            return await asked

        def leave() -> None:
            self._moved = True
            limit.reschedule(asyncio.get_running_loop().time())

        with self._moving.bound_to(upstream, leave):
            return await asked

    def _begin(self, answer: ClientResponse) -> PassedOn:
        try:
            headers = passed_on(answer.raw_headers)
        except NotText as error:
            raise BrokenAnswer(str(error)) from None
        add_via(headers)
        return PassedOn(status=answer.status, reason=answer.reason, headers=headers)

    async def _stream(self, answer: ClientResponse, response: PassedOn, limit: Limit) -> None:
        content = answer.content
        chunk = content.read_nowait()
        # What is here already goes out with the headers; for what is not they do not wait.
        response.with_body_at_once(bool(chunk) or content.at_eof())
        await response.prepare(self._request)
        while not content.at_eof():
            if chunk:
                put_off(limit)
                await response.write(chunk)
            chunk = await content.readany()
        await response.write_eof(chunk)

    def _cut(self) -> None:
        """End the client's connection in a way that no client takes for a whole answer."""
        transport = self._request.transport
        if transport is None:
            return
        if (connection := transport.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()

    def _as_failure(self, error: BaseException) -> Exception:
        if isinstance(error, ClientConnectorError | ConnectionTimeoutError):
            return NotReached(str(error))
        if self.body.broken:
            return BrokenRequest("the body of the request is broken")
        if self._moved:
            return Interrupted("the emperor changed")
        if isinstance(error, TimeoutError):
            return Idle(f"nothing moved for {IDLE_S:.0f} s")
        if isinstance(error, ClientConnectionError | OSError):
            return Interrupted("the emperor's node closed the connection")
        return BrokenAnswer(f"{type(error).__name__}: {error}"[:200])


def url_of(upstream: Upstream, raw_path: str, scheme: str = "http") -> URL:
    """Return the address of a request-target at the emperor, every byte of it as it came."""
    # Parsed, a lone `?` or a `#` would be lost; as a path it is sent as it is.
    return URL.build(
        scheme=scheme, host=upstream.host, port=upstream.port, path=raw_path, encoded=True
    )
