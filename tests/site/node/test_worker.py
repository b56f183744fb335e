"""The managed worker: real Celery, real signals, the broker without a server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from django.conf import settings

from tests.support.waiting import is_alive, wait_for
from voidlux_site.celery import app
from voidlux_site.home import create_home
from voidlux_site.node.worker import Worker, backoff_s

ROOT = Path(__file__).resolve().parents[3]
JOBS = "tests.support.worker_jobs"

pytestmark = pytest.mark.processes


@asynccontextmanager
async def running_worker() -> AsyncIterator[tuple[Worker, str]]:
    create_home(settings.HOME)
    queue = f"node-{uuid.uuid4().hex}"
    worker = Worker(settings.HOME, queue, includes=[JOBS])
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(), name="worker")
        try:
            yield worker, queue
        finally:
            await worker.stop(deadline_s=4.0)


def spawn_parent(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("worker_parent.py")), str(home)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


async def run_job(queue: str, name: str, path: Path) -> int:
    """Send one job and return the pid that it writes."""
    await asyncio.to_thread(app.send_task, f"{JOBS}.{name}", args=[str(path)], queue=queue)
    await wait_for(path.exists)
    return int(path.read_text())


async def test_worker_runs_a_job_and_starts_again_after_sigkill(tmp_path: Path) -> None:
    async with running_worker() as (worker, queue):
        first = await run_job(queue, "write_pid", tmp_path / "first")
        assert first == worker.pid
        os.kill(first, signal.SIGKILL)
        second = await run_job(queue, "write_pid", tmp_path / "second")

    assert second != first
    assert not is_alive(second)
    assert worker.pid is None


async def test_idle_worker_stops_quickly_and_leaves_nothing(tmp_path: Path) -> None:
    async with running_worker() as (worker, queue):
        pid = await run_job(queue, "write_pid", tmp_path / "pid")
        started_at = time.monotonic()
        await worker.stop(deadline_s=4.0)
        took_s = time.monotonic() - started_at

    assert took_s < 2.0
    assert not is_alive(pid)


async def test_busy_worker_is_killed_at_the_deadline_with_all_it_started(tmp_path: Path) -> None:
    async with running_worker() as (worker, queue):
        sleeper = await run_job(queue, "start_sleeper", tmp_path / "sleeper")
        pid = worker.pid
        started_at = time.monotonic()
        await worker.stop(deadline_s=1.0)
        took_s = time.monotonic() - started_at

    assert pid is not None
    assert 1.0 <= took_s < 2.0
    await wait_for(lambda: not is_alive(sleeper), timeout_s=5.0)
    assert not is_alive(pid)


async def test_worker_stopped_before_it_is_ready_ends_too() -> None:
    async with running_worker() as (worker, _):
        pid = await wait_for(lambda: worker.pid)

    assert not is_alive(pid)


async def test_cancelled_run_takes_the_worker_along() -> None:
    create_home(settings.HOME)
    worker = Worker(settings.HOME, "node-of-a-cancelled-run")
    task = asyncio.create_task(worker.run(), name="worker")
    pid = await wait_for(lambda: worker.pid)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await wait_for(lambda: not is_alive(pid), timeout_s=5.0)


async def test_worker_dies_with_a_killed_parent(tmp_path: Path) -> None:
    create_home(tmp_path)
    parent = spawn_parent(tmp_path)
    assert parent.stdout is not None
    try:
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        log = tmp_path / "logs" / "worker.log"
        await wait_for(lambda: "ready" in log.read_text())
        assert is_alive(pid)
    finally:
        parent.kill()
        parent.communicate()

    await wait_for(lambda: not is_alive(pid), timeout_s=5.0)


def test_backoff_doubles_up_to_thirty_seconds() -> None:
    for failures, longest_s in [(1, 0.5), (2, 1.0), (5, 8.0), (7, 30.0), (10_000, 30.0)]:
        assert longest_s / 2 <= backoff_s(failures) <= longest_s
