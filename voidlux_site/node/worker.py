"""The Celery worker as a managed child: started, watched, restarted and ended by the node.

Killing it loses nothing: a job is a row with a lease, the Celery message only a nudge.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from p2p.pausing import rung_within
from voidlux_site.home import logs_dir
from voidlux_site.node.processes import kill_tree

logger = logging.getLogger(__name__)

BOUND_EXEC = Path(__file__).with_name("bound_exec.py")
PROJECT_DIR = Path(__file__).resolve().parents[2]
LOG_BYTES_MAX = 10 * 1024 * 1024
# A worker that lived this long was healthy: its end starts the back-off anew.
HEALTHY_S = 30.0


def backoff_s(failures: int) -> float:
    """Return the seconds before start number `failures` + 1: doubling, 30 s at most, jittered."""
    return min(0.5 * 2.0 ** min(failures - 1, 10), 30.0) * random.uniform(0.5, 1.0)


class Worker:
    """Keeps one Celery worker of the node's queue alive; `run` belongs into a task group."""

    def __init__(
        self,
        home: Path,
        queue: str,
        *,
        concurrency: int = 4,
        includes: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        on_death: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Prepare a worker of `queue`; `includes` are further modules with jobs.

        `on_death` is awaited before a worker that died is started again.
        """
        self._on_death = on_death
        self._home = home
        self._environment = {**os.environ, **(environment or {}), "VOIDLUX_HOME": str(home)}
        self._arguments = _arguments(queue, concurrency, tuple(includes))
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def pid(self) -> int | None:
        """The pid of the running worker, None between two lives."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    async def run(self) -> None:
        """Start the worker and start it again whenever it dies, until `stop` or cancellation."""
        failures = 0
        self._ended.clear()
        try:
            while not self._stopping.is_set():
                lived_s = await self._live_once()
                failures = 1 if lived_s > HEALTHY_S else failures + 1
                await self._tell_of_death()
                await self._pause(failures)
        finally:
            self._kill()
            self._ended.set()

    async def stop(self, deadline_s: float) -> None:
        """End the worker within `deadline_s` seconds: politely, then with all that it started."""
        self._stopping.set()
        pid = self.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if not await rung_within(self._ended, deadline_s):
            self._kill()
            await self._ended.wait()

    async def _live_once(self) -> float:
        """Run one worker to its end and return the seconds that it lived."""
        started_at = time.monotonic()
        try:
            self._process = await self._spawn()
        except OSError as error:
            logger.error("worker does not start: %s", error)
            return 0.0
        if self._stopping.is_set():
            self._kill()
        code = await self._process.wait()
        lived_s = time.monotonic() - started_at
        if not self._stopping.is_set():
            logger.warning("worker %d ended with %d after %.1f s", self._process.pid, code, lived_s)
        return lived_s

    async def _tell_of_death(self) -> None:
        if self._on_death is None or self._stopping.is_set():
            return
        try:
            await self._on_death()
        except Exception:
            logger.exception("what the worker left could not be queued again")

    async def _spawn(self) -> asyncio.subprocess.Process:
        with _open_log(logs_dir(self._home) / "worker.log") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(BOUND_EXEC), str(os.getpid())),
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=PROJECT_DIR,
                env=self._environment,
                start_new_session=True,
            )

    async def _pause(self, failures: int) -> None:
        """Wait before the next start, or return at once when the node stops."""
        if self._stopping.is_set():
            return
        pause_s = backoff_s(failures)
        logger.info("worker starts again in %.1f s", pause_s)
        await rung_within(self._stopping, pause_s)

    def _kill(self) -> None:
        pid = self.pid
        if pid is not None:
            kill_tree(pid)


def _arguments(queue: str, concurrency: int, includes: tuple[str, ...]) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "celery", "-A", "voidlux_site", "worker"),
        *("--pool", "threads", "--concurrency", str(concurrency), "-Q", queue),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        *("--loglevel", "INFO"),
        *(("--include", ",".join(includes)) if includes else ()),
    )


def _open_log(path: Path) -> IO[bytes]:
    """Open the log for appending; a long one is put aside first, over the one before it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")
