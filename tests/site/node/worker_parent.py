"""A process that keeps a worker, prints the worker's pid, and waits to be killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.waiting import wait_for
from voidlux_site.node.worker import Worker


async def main() -> None:
    worker = Worker(Path(sys.argv[1]), "node-of-a-killed-parent")
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(), name="worker")
        print(await wait_for(lambda: worker.pid), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
