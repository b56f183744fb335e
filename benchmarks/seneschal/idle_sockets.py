"""The Seneschal's memory with many idle WebSockets.

python -m benchmarks.seneschal.idle_sockets [sockets]
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp

from benchmarks.seneschal.scene import HOST, seneschal_before, small_server
from benchmarks.swarm.result import print_rounds

WITHOUT, ADDED = "memory, without WebSockets", "memory, added by {} idle WebSockets"
SOCKETS = 500


async def main(sockets: int) -> None:
    """Measure and print."""
    with small_server() as port:
        async with seneschal_before(port) as scene, _session() as session:
            url = f"http://{HOST}:{scene.through}/ws"
            async with session.ws_connect(url) as first:
                await first.ping()
            before = resident_mb(scene.pid)
            opened = [await session.ws_connect(url) for _ in range(sockets)]
            await asyncio.gather(*(each.ping() for each in opened))
            after = resident_mb(scene.pid)
            await asyncio.gather(*(each.close() for each in opened))
    print_rounds("MB", {WITHOUT: [before], ADDED.format(sockets): [after - before]})


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (10**6 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(each for each in status.splitlines() if each.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else SOCKETS))
