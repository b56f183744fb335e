"""VoidLux: memory of one connection, of its listener's side.

    python -m benchmarks.mesh.subjects.voidlux_memory {tls,plain}

The dialling ends live in a child process, so that only one side of each link is weighed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import multiprocessing
import os
import resource
import sys
from pathlib import Path

import uvloop

from benchmarks.mesh.result import Result
from benchmarks.mesh.subjects.voidlux_nodes import (
    HOST,
    LINKED_WITHIN_S,
    WITHOUT_RATE_LIMITS,
    make_node,
    stop,
)

WARM_UP = 20  # links that come first, so that caches and pools of the process are there
WEIGHED = 200
# A node has 20 links at most; more of them are weighed together to see the weight of one.
MANY = dataclasses.replace(
    WITHOUT_RATE_LIMITS, connections_max=WARM_UP + WEIGHED, handshakes_max=WARM_UP + WEIGHED
)


def resident_bytes() -> int:
    """Return the memory of this process that is in RAM; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def run(channel: str) -> Result:
    """Weigh the links of one listening node."""
    node = make_node(lambda text: None, with_tls=channel == "tls", limits=MANY)
    port = await node.mesh.start(HOST, 0)
    weights = []
    children = []
    for count, links in ((WARM_UP, WARM_UP), (WEIGHED, WARM_UP + WEIGHED)):
        child = _start_child(port, count, channel)
        children.append(child)
        async with asyncio.timeout(LINKED_WITHIN_S):
            while len(node.mesh.peers()) < links:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        gc.collect()
        weights.append(resident_bytes())
    for child in children:
        child.terminate()
        child.join()
    await stop([node])
    result = Result()
    result.figures[f"voidlux {channel} memory"] = (weights[1] - weights[0]) / WEIGHED / 1024
    return result


def _start_child(port: int, count: int, channel: str) -> multiprocessing.Process:
    child = multiprocessing.get_context("spawn").Process(
        target=_dial, args=(port, count, channel, os.getpid()), daemon=True
    )
    child.start()
    return child


def _dial(port: int, count: int, channel: str, parent: int) -> None:
    async def hold() -> None:
        nodes = [make_node(lambda text: None, with_tls=channel == "tls") for _ in range(count)]
        for each in nodes:
            await each.mesh.start(HOST, 0)
            each.mesh.dial(HOST, port)
        while os.getppid() == parent:  # noqa: ASYNC110 - until the measuring process is gone
            await asyncio.sleep(0.5)

    uvloop.run(hold())


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1])).print()
