"""`/mcp` as an ASGI application: started at its first use, because its import is slow and large."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from p2p.database_thread import DatabaseThread

log = logging.getLogger(__name__)

START_TIMEOUT_S = 60.0


class McpEndpoint:
    """Checks where a request is from and hands it to the SDK, whose one task lives here."""

    def __init__(self) -> None:
        self._application: Any = None
        self._keeper: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request: 421 for another host, 403 for another site's page, 405 for GET."""
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        if not _is_allowed(headers.get("host", "")):
            await _refuse(send, 421, "this host is not served here; see VOIDLUX_ALLOWED_HOSTS")
        elif "origin" in headers and not _is_allowed(urlsplit(headers["origin"]).netloc):
            await _refuse(send, 403, "calls from pages of other sites are refused")
        elif scope["method"] != "POST":
            # Nothing is ever pushed, so that an open GET would only hold a connection.
            await _refuse(send, 405, "only POST is served", (b"allow", b"POST"))
        else:
            await self._start()
            await self._application(scope, receive, send)

    async def _start(self) -> None:
        """Start the SDK's task, once in a process; every early request waits for it."""
        loop = asyncio.get_running_loop()
        if self._keeper is None or self._keeper.done():
            self._ready = loop.create_future()
            self._keeper = loop.create_task(self._keep(self._ready), name="mcp sessions")
        assert self._ready is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            await asyncio.shield(self._ready)

    async def _keep(self, ready: asyncio.Future[None]) -> None:
        """Stay inside the SDK's session manager: it must be left by the task that entered it."""
        database = DatabaseThread()
        try:
            server = await asyncio.to_thread(_build, database)
            self._application = server.application
            async with server.sessions.run():
                ready.set_result(None)
                await asyncio.Event().wait()
        except Exception as failure:
            log.exception("the MCP server ended")
            if not ready.done():
                ready.set_exception(failure)
        finally:
            self._application = None
            database.stop()


class _Built:
    """A server's ASGI application and its sessions, which exist from then on."""

    def __init__(self, application: Any, sessions: Any) -> None:
        self.application = application
        self.sessions = sessions


def _build(database: DatabaseThread) -> _Built:
    from swarm.mcp.server import build_application, build_server

    server = build_server(database)
    application = build_application(server)
    return _Built(application, server.session_manager)


def _is_allowed(host: str) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


async def _refuse(send: Any, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
    body = f"{reason}\n".encode()
    head = [(b"content-type", b"text/plain; charset=utf-8"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
