"""A worker that is killed at any step of the gate: nothing is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

from swarm.gate.gate import run_gate
from swarm.git.command import run_git
from swarm.models import MergeRun, Task, TaskEvent, TestRun
from tests.support.gate_goals import a_goal, after_gate, pushed, report
from tests.support.git_remote import GitRemote
from tests.support.racing import Database
from tests.support.waiting import is_alive, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

# The function after whose so manieth call the worker is killed.
STEPS = {
    "after a report was verified": ("swarm.gate.reports._begin_merging", 2),
    "after the reports were verified": ("swarm.gate.gate.verify_reports", 1),
    "after a merge": ("swarm.git.integration.Integration.merge_onto", 2),
    "after the batch was tested": ("swarm.gate.batch.trials.end_run", 1),
    "in the search": ("swarm.gate.batch.trials.end_run", 2),
    "after the suspect was tested again": ("swarm.gate.batch.trials.end_run", 5),
    "before the push": ("swarm.gate.accepting.note_merge", 1),
    "after the push": ("swarm.git.integration.Integration.push", 1),
    "in the transaction": ("swarm.gate.accepting._complete", 1),
    "after the transaction": ("swarm.gate.accepting._complete_batch", 1),
    "in the sending back": ("swarm.gate.blame.note_merge", 1),
    "after the sending back": ("swarm.gate.blame.Blame.red", 1),
}
# What a step may cost again: an unfinished run, or one that has to come after another one.
REPEATED = {"after the transaction": 1, "in the sending back": 1, "after the push": 1}
REPEATED |= {"in the transaction": 1}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database in a file, which the test and the workers that it forks share."""
    path = tmp_path / "shared.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as file:
        connections["default"].ensure_connection()
        connections["default"].connection.backup(file)
    made = Database(f"sqlite:///{path}")
    with made.used():
        yield made


def worker(database: Database, goal: Task, prepare: Callable[[], None]) -> int:
    """Fork a process that runs the gate over a goal, with a connection of its own."""
    connections["default"].close()
    pid = os.fork()
    if pid:
        return pid
    try:
        connections["default"] = database.connect()
        prepare()
        run_gate(Task.objects.get(id=goal.id))
    finally:
        os._exit(3)


def was_killed(pid: int) -> bool:
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def dying_after(target: str, calls: int, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what makes a process kill itself when a function has returned so many times."""

    def prepare() -> None:
        left = [calls]
        original = _resolve(target)

        def dying(*args: Any, **kwargs: Any) -> Any:
            answer = original(*args, **kwargs)
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        patch.setattr(target, dying)

    return prepare


def _resolve(target: str) -> Any:
    from django.utils.module_loading import import_string

    owner, _, name = target.rpartition(".")
    with contextlib.suppress(ImportError):
        return import_string(target)
    return getattr(import_string(owner), name)


def three_with_a_culprit(remote: GitRemote, command: str = "! grep -rq BUG .") -> Task:
    goal = a_goal(remote, "One,Two,Three", command)
    report(goal, 1, remote, {"1": "1\n"})
    report(goal, 2, remote, {"2": "BUG\n"})
    report(goal, 3, remote, {"3": "3\n"})
    return goal


def assert_ended_once(goal: Task, remote: GitRemote) -> None:
    """Two are merged and one is back, each by one move, in one push of two merges."""
    targets = [
        list(
            TaskEvent.objects.filter(task=task, by="gate")
            .order_by("id")
            .values_list("target", flat=True)
        )
        for task in goal.subtasks.order_by("number")
    ]
    assert targets == [["merging", "completed"], ["merging", "pending"], ["merging", "completed"]]
    assert [task.attempt for task in goal.subtasks.order_by("number")] == [1, 1, 1]
    merges = run_git(
        ["rev-list", "--merges", "--count", f"{goal.base_commit}..{goal.integration_commit}"],
        cwd=remote.path,
    )
    assert merges.stdout == "2\n"
    assert pushed(goal, remote) == goal.integration_commit


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_any_step_loses_and_repeats_nothing(
    step: str, database: Database, remote: GitRemote
) -> None:
    goal = three_with_a_culprit(remote)

    with pytest.MonkeyPatch.context() as patch:
        assert was_killed(worker(database, goal, dying_after(*STEPS[step], patch)))
    left = pushed(goal, remote)

    assert after_gate(goal) == ["completed", "pending", "completed"]
    assert_ended_once(goal, remote)
    assert left in (None, goal.integration_commit), "never a half-merged branch"
    assert TestRun.objects.count() <= 5 + REPEATED.get(step, 0)
    outcomes = list(MergeRun.objects.filter(goal=goal).values_list("outcome", flat=True))
    assert [outcomes.count(each) for each in ("split", "merged", "red")] == [1, 1, 1]
    run_gate(goal)
    assert_ended_once(goal, remote)


@pytest.mark.parametrize("workers", [1, 4])
def test_a_worker_killed_in_a_test_leaves_neither_processes_nor_worktrees(
    workers: int,
    database: Database,
    remote: GitRemote,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = settings.ENVIRONMENT.model_copy(update={"test_workers": workers})
    monkeypatch.setattr(settings, "ENVIRONMENT", environment)
    hang, began = tmp_path / "hang", tmp_path / "began"
    # The first run goes through; those of the search hang.
    command = (
        f"test -e {hang} && test -e {began}-0 && {{ echo $$ > {began}-$$; sleep 600; }}; "
        f"test -e {began}-0 || touch {began}-0; ! grep -rq BUG ."
    )
    goal = three_with_a_culprit(remote, command)
    hang.touch()
    places = tmp_path / "home" / "worktrees" / ".merge" / "integrate"

    pid = worker(database, goal, lambda: None)
    asyncio.run(wait_for(lambda: len(list(tmp_path.glob("began-*"))) == 1 + min(workers, 2)))
    os.kill(pid, signal.SIGKILL)
    assert was_killed(pid)
    hanging = [int(path.name.partition("-")[2]) for path in tmp_path.glob("began-[1-9]*")]
    asyncio.run(wait_for(lambda: not any(is_alive(each) for each in hanging)))
    assert len(list(places.glob("*-test-*"))) == (2 if workers > 1 else 0)
    assert pushed(goal, remote) is None
    hang.unlink()

    assert after_gate(goal) == ["completed", "pending", "completed"]
    assert_ended_once(goal, remote)
    assert list(places.glob("*-test-*")) == []
