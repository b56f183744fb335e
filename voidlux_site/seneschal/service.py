"""A whole Seneschal: follows, serves, and stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aiohttp import web

from voidlux_site.node.listening import naming
from voidlux_site.seneschal import limits
from voidlux_site.seneschal.following import Following
from voidlux_site.seneschal.own_pages import OwnPages
from voidlux_site.seneschal.proxy import Manners, Proxy

log = logging.getLogger(__name__)


class Seneschal:
    """The proxy and its place in the mesh, started and stopped as a whole."""

    def __init__(self, following: Following, manners: Manners) -> None:
        """Take who follows the emperor and how requests are treated."""
        self.proxy = Proxy(following, manners)
        self._following = following
        self._pages = OwnPages(following, self.proxy)
        self._runner: web.ServerRunner | None = None
        following.on_change(lambda: self.proxy.moving.moved_to(following.upstream))

    async def start(self, host: str, http_port: int) -> tuple[int, int]:
        """Join the mesh and serve; return the bound p2p and http ports; DomainError in use."""
        # What the server itself logs are faults of clients; ours are logged in `_handle`.
        silent = logging.getLogger(f"{__name__}.http")
        silent.setLevel(logging.CRITICAL + 1)
        logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
        server = web.Server(
            self._handle,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            logger=silent,
            keepalive_timeout=limits.KEEP_CLIENT_S,
            lingering_time=limits.LINGER_S,
            max_line_size=limits.HEADER_BYTES_MAX,
            max_field_size=limits.HEADER_BYTES_MAX,
            max_headers=limits.HEADERS_MAX,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=limits.STOP_S)
        await self._runner.setup()
        with naming("VOIDLUX_HTTP_PORT", http_port, host):
            await web.TCPSite(self._runner, host, http_port).start()
        with naming("VOIDLUX_P2P_PORT", self._following.place.p2p_port, host):
            p2p_port = await self._following.start()
        return p2p_port, int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Let requests under way end for a moment, tell WebSockets to come again, and leave."""
        await self.proxy.websockets.stop()
        await asyncio.gather(self._following.stop(), self._stop_serving())
        await self.proxy.stop()

    async def _stop_serving(self) -> None:
        if self._runner is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * limits.STOP_S):
                    await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return self._pages.answer(request) or await self.proxy.handle(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.raw_path[:200])
            raise
