"""Background tasks with a name and an owner; a failing one is logged and takes no other along."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class TaskOwner:
    """Holds named tasks of one component and ends them with it."""

    def __init__(self, name: str) -> None:
        """Take the name of the component, for logs."""
        self._name = name
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> bool:
        """Run the work as task `name`; False, and nothing runs, when that task still runs."""
        if name in self._tasks:
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}:{name}")
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._ended(name, done))
        return True

    def runs(self, name: str) -> bool:
        """Tell whether the task `name` still runs."""
        return name in self._tasks

    async def end(self, name: str) -> None:
        """Cancel one task and wait until it has ended; nothing when it does not run."""
        if (task := self._tasks.get(name)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("task %s failed", task.get_name(), exc_info=task.exception())
