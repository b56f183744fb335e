"""Threads for the blocking steps of agents: as many as are needed, and none of anybody else's.

The loop's own pool has a handful of threads, on which names are resolved and jobs announced too:
a few pushes to a remote that hangs would stop all of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


async def on_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a blocking function on a thread of its own and return what it returns or raises.

    The thread is a daemon: a node that stops does not wait for it, and resumes the step later.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[R] = loop.create_future()

    def settle(set_outcome: Callable[[Any], None], value: object) -> None:
        if not outcome.done():  # whoever waited may have been cancelled
            set_outcome(value)

    def work() -> None:
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            _post(loop, settle, outcome.set_exception, error)
        else:
            _post(loop, settle, outcome.set_result, result)

    threading.Thread(target=work, name=f"agents:{_name_of(function)}", daemon=True).start()
    return await outcome


def _post(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *args: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(callback, *args)


def _name_of(function: Callable[..., object]) -> str:
    return getattr(function, "__name__", type(function).__name__)
