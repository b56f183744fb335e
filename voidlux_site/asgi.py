"""The ASGI application: HTTP to Django, the WebSocket of live events to its consumer."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

from swarm.mcp.endpoint import McpEndpoint

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "voidlux_site.settings")

WEBSOCKET_PATH = "/ws"
MCP_PATH = "/mcp"
CLOSE_UNKNOWN_PATH = 4404

django_application = get_asgi_application()
mcp_endpoint = McpEndpoint()


@cache
def _live_consumer() -> Any:
    # Imported late: the consumer's module needs the apps that are ready only by then.
    from voidlux_site.live import LiveConsumer

    return LiveConsumer.as_asgi()


async def route_http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Pass requests of `/mcp` to the MCP server and all others to Django."""
    application = mcp_endpoint if scope["path"] == MCP_PATH else django_application
    await application(scope, receive, send)


async def route_websocket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Pass a WebSocket of a known path to its consumer and close any other."""
    if scope["path"] == WEBSOCKET_PATH:
        await _live_consumer()(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.close", "code": CLOSE_UNKNOWN_PATH})


_authenticated = AuthMiddlewareStack(route_websocket)
_for_browsers = AllowedHostsOriginValidator(_authenticated)


async def guard_websocket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Refuse the pages of other sites; a tool sends no Origin and needs the token anyway."""
    from_browser = any(name == b"origin" for name, _ in scope["headers"])
    await (_for_browsers if from_browser else _authenticated)(scope, receive, send)


application = ProtocolTypeRouter({"http": route_http, "websocket": guard_websocket})
