"""The ASGI application: HTTP to Django, the WebSocket of live events to its consumer."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "voidlux_site.settings")

WEBSOCKET_PATH = "/ws"
CLOSE_UNKNOWN_PATH = 4404

django_application = get_asgi_application()


@cache
def _live_consumer() -> Any:
    # Imported late: the consumer's module needs the apps that are ready only by then.
    from voidlux_site.live import LiveConsumer

    return LiveConsumer.as_asgi()


async def route_websocket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Pass a WebSocket of a known path to its consumer and close any other."""
    if scope["path"] == WEBSOCKET_PATH:
        await _live_consumer()(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.close", "code": CLOSE_UNKNOWN_PATH})


application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(route_websocket)),
    }
)
