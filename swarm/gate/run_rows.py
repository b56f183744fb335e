"""Test runs as rows: visible from their start, closed by their end or by their worker's death."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from p2p import outbox
from p2p.clock import now_utc
from p2p.doorbell import ring_on_commit
from p2p.local import local_node
from p2p.protocol.errors import ExternalError
from swarm.descriptions import describe_test_run
from swarm.models import TestRun
from swarm.states import TestRunState


@contextlib.contextmanager
def held_log(path: Path) -> Iterator[None]:
    """Hold the log of a run: whoever finds it free knows that the run's worker is gone.

    ExternalError (retryable) where another worker holds it, or it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ExternalError(
            f"the log {path.name} cannot be made: {error}", retryable=True
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as held:
        raise ExternalError(f"another worker writes {path.name}", retryable=True) from held
    finally:
        os.close(descriptor)


def begin_run(run: TestRun) -> TestRun:
    """Store a run that is about to start, and show it; its log must be held."""
    with transaction.atomic():
        TestRun.objects.bulk_create([run])  # as it is: nothing of it is read first
        _tell(run, run.at)
    return run


def end_run(run: TestRun, state: TestRunState, **columns: Any) -> TestRun:
    """Close a run with its result; ExternalError (retryable) where it was taken for lost."""
    now = now_utc()
    columns |= {"passed": state == TestRunState.PASSED, "ended_at": now}
    with transaction.atomic():
        running = TestRun.objects.filter(id=run.id, state=TestRunState.RUNNING)
        if not running.update(state=state, **columns):
            raise ExternalError(f"test run {run.id} was closed meanwhile", retryable=True)
        run = TestRun.objects.select_related("goal").get(id=run.id)
        _tell(run, now)
    return run


def close_abandoned(now: datetime) -> int:
    """Close running rows whose worker is gone as interrupted; returns how many."""
    rows = TestRun.objects.filter(state=TestRunState.RUNNING).select_related("goal")
    return sum(interrupt_if_abandoned(run, now) for run in rows)


def interrupt_if_abandoned(run: TestRun, now: datetime) -> bool:
    """Close one running row as interrupted where no worker holds its log any more."""
    path = log_file(run)
    if path is not None and _is_held(path):
        return False
    with transaction.atomic():
        closed = TestRun.objects.filter(id=run.id, state=TestRunState.RUNNING).update(
            state=TestRunState.INTERRUPTED, ended_at=now
        )
        if closed:
            run.refresh_from_db()
            _tell(run, now)
    if path is not None:
        shutil.rmtree(scratch_of(path), ignore_errors=True)
    return bool(closed)


def log_file(run: TestRun) -> Path | None:
    """Return where the log of a run is on this node; None where it has none any more."""
    return local_node().home / run.log_path if run.log_path else None


def scratch_of(log_path: Path) -> Path:
    """Return the folder of a run's own files, which lasts as long as the run."""
    return log_path.with_suffix(".files")


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _tell(run: TestRun, now: datetime) -> None:
    described = {**describe_test_run(run), "output_tail": ""}
    subject = {"id": run.goal_id.hex, "title": run.goal.title}
    outbox.publish_event(
        "test_run_update", run.state, {"test_run": described, "task": subject}, now=now
    )
    ring_on_commit()
