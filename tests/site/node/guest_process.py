"""A process with a web server as guest: prints its port, ends at SIGTERM, reports how.

Arguments: the port, `site` to serve the site instead of this module's own application, and
`asyncio` to run on its loop instead of uvloop.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from typing import Any

import django

from voidlux_site.node.event_loop import prefer_uvloop

SITE = "site" in sys.argv[2:]
if "asyncio" not in sys.argv[2:]:
    prefer_uvloop()

from voidlux_site.node.web import WebServer, run_in_daphne_loop  # noqa: E402


async def respond(send: Any, body: bytes) -> None:
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})


async def serve_http(scope: dict[str, Any], send: Any) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(300)
    if scope["path"] == "/thread":
        await asyncio.to_thread(time.sleep, 0.5)
    if scope["path"] == "/half":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.sleep(300)
    await respond(send, b"whole")


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await serve_http(scope, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def main() -> int:
    server = WebServer("127.0.0.1", int(sys.argv[1]), None if SITE else application)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    try:
        port = await server.start()
    except OSError as error:
        print(json.dumps({"errno": error.errno, "text": str(error)}), flush=True)
        return 3
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    print(json.dumps({"port": port, "loop": loop}), flush=True)
    await stopping.wait()
    started_at = time.monotonic()
    await server.stop(deadline_s=2.0)
    print(json.dumps({"stopped_after_s": time.monotonic() - started_at}), flush=True)
    return 0


if __name__ == "__main__":
    if SITE:
        django.setup()
    raise SystemExit(run_in_daphne_loop(main))
