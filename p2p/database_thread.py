"""The one thread on which the node process uses the database."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import connections

P = ParamSpec("P")
R = TypeVar("R")


class DatabaseThread:
    """Runs ORM work of the node's loop on a single thread with a single connection."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._first: deque[Callable[[], None]] = deque()

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `function` on the database thread and return what it returns or raises."""
        loop = asyncio.get_running_loop()

        def call() -> R:
            self._do_first()
            return _call(function, *args, **kwargs)

        return await loop.run_in_executor(self._executor, call)

    async def run_first(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """As `run`, before all that waits: only what is at work already comes before it."""
        done: Future[R] = Future()

        def call() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(_call(function, *args, **kwargs))
            except BaseException as error:
                done.set_exception(error)

        self._first.append(call)
        self._executor.submit(self._do_first)
        return await asyncio.wrap_future(done)

    def _do_first(self) -> None:
        while self._first:
            self._first.popleft()()

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
