"""A small aiohttp application that answers at once: what is measured is the way to it.

    python -m benchmarks.seneschal.upstream

Prints its port. `/ws` is a WebSocket that only listens.
"""

from __future__ import annotations

import asyncio

from aiohttp import web


async def health(request: web.Request) -> web.Response:
    """Answer as a node's health does."""
    return web.json_response({"status": "ok"})


async def listen(request: web.Request) -> web.WebSocketResponse:
    """Listen to a WebSocket until it ends."""
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for _ in socket:
        continue
    return socket


async def main() -> None:
    """Serve until the process is ended."""
    application = web.Application()
    application.router.add_get("/api/swarm/health", health)
    application.router.add_get("/ws", listen)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    asyncio.run(main())
