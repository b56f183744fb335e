"""Files of ended runs and of old tests: kept for a time and up to a size, then deleted."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from p2p.local import local_node
from swarm.models import Task, TestRun
from swarm.queries import unfinished_attempts
from swarm.states import TASK_TERMINAL, TestRunState
from swarm.worktrees.room import MB, used_mb

KEPT = timedelta(days=14)
RUNS_MB_MAX = 1024
TEST_LOGS_MB_MAX = 512  # of goals that have ended; as much again of those that have not
DELETED_MAX = 200  # in one round, so that it is over soon


def prune_files(now: datetime) -> int:
    """Delete the oldest runs and test logs beyond their age or size; returns how many.

    What belongs to an unfinished attempt or a running test always stays, and logs of goals that
    have not ended stay up to their size, whatever their age.
    """
    ended, open_ = _test_logs()
    before = now - KEPT
    deleted = [
        *_prune(_oldest_first(_ended_runs()), before, RUNS_MB_MAX),
        *_prune(_oldest_first(ended), before, TEST_LOGS_MB_MAX),
        *_prune(_oldest_first(open_), datetime.min.replace(tzinfo=UTC), TEST_LOGS_MB_MAX),
    ]
    _forget_logs(path for path in deleted if path.suffix == ".log")
    return len(deleted)


def _prune(paths: list[Path], before: datetime, mb_max: float) -> list[Path]:
    sizes = {path: used_mb(path) if path.is_dir() else path.stat().st_size / MB for path in paths}
    surplus_mb = sum(sizes.values()) - mb_max
    deleted = []
    for path in paths[:DELETED_MAX]:
        if surplus_mb <= 0 and _changed_at(path) > before:
            break
        surplus_mb -= sizes[path]
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        deleted.append(path)
    return deleted


def _ended_runs() -> Iterator[Path]:
    unfinished = set(unfinished_attempts())
    for path in _entries(local_node().home / "runs"):
        with contextlib.suppress(ValueError):  # not a folder of ours
            if UUID(path.name) not in unfinished and path.is_dir():
                yield path


def _test_logs() -> tuple[list[Path], list[Path]]:
    """Return the logs of goals that have ended and of those that have not, without running ones."""
    home = local_node().home
    goals = Task.objects.filter(parent__isnull=True).exclude(status__in=TASK_TERMINAL)
    unended = {goal_id.hex[:8] for goal_id in goals.values_list("id", flat=True)}
    at_work = TestRun.objects.filter(state=TestRunState.RUNNING).values_list("log_path", flat=True)
    running = {home / path for path in at_work}
    ended: list[Path] = []
    open_: list[Path] = []
    for path in _entries(home / "logs" / "tests"):
        if path.suffix == ".log" and path not in running:
            (open_ if path.name[:8] in unended else ended).append(path)
    return ended, open_


def _forget_logs(paths: Iterable[Path]) -> None:
    home = local_node().home
    names = [str(path.relative_to(home)) for path in paths]
    TestRun.objects.filter(log_path__in=names).update(log_path="")


def _entries(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        yield from folder.iterdir()


def _oldest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=_changed_at)


def _changed_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
