"""An event loop whose time is a number: it jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Protocol


class Process:
    """What runs between a start and a crash: when it has ended, its timers and tasks are gone."""

    def __init__(self, host: str) -> None:
        """Take the address of the machine that it runs on."""
        self.host = host
        self.alive = True
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.context = contextvars.Context()
        self.context.run(PROCESS.set, self)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine in this process; what it starts belongs to the process too."""
        return self.context.run(asyncio.get_running_loop().create_task, work)

    def kill(self) -> None:
        """End the process at once: nothing that it still does has any effect."""
        self.alive = False
        for task in list(self.tasks):
            task.cancel()


PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


class Wires(Protocol):
    """The network that takes the place of sockets."""

    def listen(self, factory: Callable[[], asyncio.BaseProtocol], host: str, port: int) -> Any: ...

    async def connect(
        self, factory: Callable[[], asyncio.BaseProtocol], host: str, port: int
    ) -> Any: ...


class _Clockwork(selectors.BaseSelector):
    """Files that never have anything; waiting for them only moves the clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._keys[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return self._keys[fileobj]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Any:
        return self._keys

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen any more")
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on virtual seconds from 0 on, with a network of its own."""

    def __init__(self) -> None:
        """Start at time 0, without a network."""
        self._clockwork = _Clockwork()
        super().__init__(self._clockwork)
        self.wires: Wires | None = None
        self.set_task_factory(_owned_task)

    def time(self) -> float:
        """Return the virtual seconds since the beginning."""
        return self._clockwork.now_s

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule a timer, which dies with the process that set it."""
        process = PROCESS.get(None) if context is None else context.get(PROCESS)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        return super().call_at(when, _while_alive, process, callback, *args, context=context)

    async def create_server(
        self, factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        """Listen in the simulated network."""
        assert self.wires is not None
        return self.wires.listen(factory, host, port)

    async def create_connection(
        self, factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        """Connect in the simulated network."""
        assert self.wires is not None
        return await self.wires.connect(factory, host, port)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Refuse: a thread would bring real time and chance into the run."""
        raise RuntimeError(f"{func} in a thread: a simulation has none")


def _while_alive(process: Process, callback: Callable[..., Any], *args: Any) -> None:
    if process.alive:
        callback(*args)


def _owned_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, context: Any = None
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context)
    process = PROCESS.get(None) if context is None else context.get(PROCESS)
    if process is not None:
        process.tasks[task] = None
        task.add_done_callback(lambda done: process.tasks.pop(done, None))
    return task
