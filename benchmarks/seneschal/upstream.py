"""A small server that answers at once: what is measured is the way to it.

    python -m benchmarks.seneschal.upstream

Prints its port. `/ws` is a WebSocket that only listens.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

BODY = b'{"status": "ok"}'


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    """Answer a request, or listen to a WebSocket until it ends."""
    if request.path != "/ws":
        return web.Response(body=BODY, content_type="application/json")
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for _ in socket:
        continue
    return socket


async def main() -> None:
    """Serve until the process is ended."""
    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    asyncio.run(main())
