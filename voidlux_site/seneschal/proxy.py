"""The reverse proxy: holds, passes on, tries again what is safe, and says so where it cannot."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, hdrs, web
from multidict import CIMultiDict

from voidlux_site.environment_seneschal import IpNetwork
from voidlux_site.seneschal import limits
from voidlux_site.seneschal.answers import refusal
from voidlux_site.seneschal.exchange import (
    BrokenAnswer,
    BrokenRequest,
    Exchange,
    Idle,
    Interrupted,
    NotReached,
)
from voidlux_site.seneschal.headers import NotText, add_forwarded, passed_on
from voidlux_site.seneschal.moving import Moving
from voidlux_site.seneschal.waiting_room import NoEmperor, Upstreams, WaitingRoom
from voidlux_site.seneschal.websockets import WebSockets, is_websocket

log = logging.getLogger(__name__)

# Asked twice they do what they do when asked once: nothing.
SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
NOT_REPEATED = (
    "the connection to the emperor broke after the request was sent: whether it was carried out "
    "is not known, so it is not sent again"
)


class NotForHere(Exception):
    """A request-target that is no path, as other kinds of proxies get them."""


class UnknownExpectation(Exception):
    """A client expects what nobody here can promise."""


class NotRepeated(Interrupted):
    """A request that may have been carried out, and is not known to be."""


FAILURES = (
    NoEmperor,
    NotText,
    NotForHere,
    UnknownExpectation,
    Idle,
    BrokenRequest,
    BrokenAnswer,
    Interrupted,
)


@dataclass(frozen=True, slots=True)
class Manners:
    """How requests are treated that find no emperor, and which proxies before us are believed."""

    hold_s: float = 10.0
    held_max: int = 200
    trusted: Sequence[IpNetwork] = ()


class Proxy:
    """Answers every request of every path by asking the emperor."""

    def __init__(self, upstreams: Upstreams, manners: Manners) -> None:
        """Take who knows the emperor; must be made on the running loop."""
        self.counters: Counter[str] = Counter()
        self.open = 0
        self.moving = Moving()
        self.room = WaitingRoom(upstreams, manners.held_max)
        self._upstreams = upstreams
        self._manners = manners
        self._pool = TCPConnector(limit=0, keepalive_timeout=limits.KEEP_UPSTREAM_S)
        # A request that must not be sent twice never meets a connection that is about to close.
        self._fresh = TCPConnector(limit=0, force_close=True)
        self._pooled_session = _session(self._pool)
        self._fresh_session = _session(self._fresh)
        self.websockets = WebSockets(self._fresh_session, self.moving)

    async def stop(self) -> None:
        """End all WebSockets and every connection to the emperor."""
        await self._pooled_session.close()
        await self._fresh_session.close()

    @property
    def idle_connections(self) -> int:
        """How many connections to the emperor wait for a request."""
        return sum(len(each) for each in self._pool._conns.values())

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if self.open >= limits.OPEN_MAX:
            self.counters["too_many"] += 1
            return refusal(
                request,
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too_many_requests_open",
                f"{self.open} requests are open already",
                retry=True,
            )
        self.open += 1
        self.counters["requests"] += 1
        try:
            return await self._answer(request)
        except FAILURES as failure:
            return self._refused(request, failure)
        finally:
            self.open -= 1

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = self._headers_for_emperor(request)
        until = asyncio.get_running_loop().time() + self._manners.hold_s
        exchange = Exchange(request, headers, self.moving)
        safe = request.method in SAFE
        session = self._pooled_session if safe else self._fresh_session
        tries = 0
        while True:
            upstream = await self.room.upstream(until)
            try:
                if is_websocket(request):
                    return await self.websockets.answer(request, upstream, headers)
                return await exchange.answered_by(upstream, session, movable=safe)
            except NotReached as failure:
                self._upstreams.refuses(upstream)
                if exchange.body.begun or asyncio.get_running_loop().time() > until:
                    raise NoEmperor("the emperor's node does not answer") from failure
            except Interrupted:
                tries += 1
                if not safe:
                    raise NotRepeated(NOT_REPEATED) from None
                if exchange.body.begun or tries >= limits.TRIES_MAX:
                    raise
            self.counters["retried"] += 1

    def _headers_for_emperor(self, request: web.BaseRequest) -> CIMultiDict[str]:
        if not request.raw_path.startswith("/"):
            raise NotText(
                f"{request.method} {request.raw_path[:40]!r} is not for a proxy like this"
            )
        if request.headers.get(hdrs.EXPECT, "100-continue").lower() != "100-continue":
            raise UnknownExpectation("nothing but 100-continue can be expected")
        headers = passed_on(request.raw_headers)
        headers.popall(hdrs.EXPECT, None)
        add_forwarded(
            headers,
            peer=request.remote or "",
            scheme=request.scheme,
            trusted=self._manners.trusted,
        )
        return headers

    def _refused(self, request: web.BaseRequest, failure: Exception) -> web.Response:
        """Say why there is no answer of the emperor."""
        status, code, detail = _told(failure)
        self.counters[code] += 1
        retry = status is HTTPStatus.SERVICE_UNAVAILABLE
        response = refusal(request, status, code, detail, retry=retry)
        if request.body_exists and not request.content.is_eof():
            response.force_close()  # nobody reads what is left of the body
        return response


def _told(failure: Exception) -> tuple[HTTPStatus, str, str]:
    match failure:
        case NoEmperor():
            return HTTPStatus.SERVICE_UNAVAILABLE, "no_emperor", str(failure)
        case UnknownExpectation():
            return HTTPStatus.EXPECTATION_FAILED, "unknown_expectation", str(failure)
        case NotText() | NotForHere() | BrokenRequest():
            return HTTPStatus.BAD_REQUEST, "bad_request", str(failure)
        case Idle():
            return HTTPStatus.GATEWAY_TIMEOUT, "emperor_silent", str(failure)
        case Interrupted():
            return HTTPStatus.BAD_GATEWAY, "interrupted", str(failure)
        case _:
            return HTTPStatus.BAD_GATEWAY, "bad_answer", str(failure)


def _session(connector: TCPConnector) -> ClientSession:
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=ClientTimeout(total=None, sock_connect=limits.CONNECT_S),
        max_line_size=limits.HEADER_BYTES_MAX,
        max_field_size=limits.HEADER_BYTES_MAX,
        max_headers=limits.HEADERS_MAX,
    )
