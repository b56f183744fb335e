"""The one thread on which the node process uses the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import connections

P = ParamSpec("P")
R = TypeVar("R")


class DatabaseThread:
    """Runs ORM work of the node's loop on a single thread with a single connection."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `function` on the database thread and return what it returns or raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: _call(function, *args, **kwargs))

    def stop(self) -> None:
        """Close the connection and end the thread."""
        self._executor.submit(connections.close_all)
        self._executor.shutdown(wait=True)


def _call(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    for connection in connections.all(initialized_only=True):
        # Kept whatever CONN_MAX_AGE says: connecting anew costs PostgreSQL a process each time.
        connection.close_at = None
        connection.close_if_unusable_or_obsolete()
    return function(*args, **kwargs)
