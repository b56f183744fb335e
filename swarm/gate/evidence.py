"""Test runs and merge runs as rows: the evidence of the gate, and what it need not repeat."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Max

from p2p.clock import now_utc
from p2p.local import local_node
from swarm.gate.models import BatchOutcome
from swarm.gate.testrun import TestOutcome, run_test_command
from swarm.models import MergeRun, Task, TestRun


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A test run that has a number and a log, and is to be carried out."""

    goal: Task
    commit: str
    command: str
    number: int
    log_path: Path


def first_run(goal: Task, commit: str, command: str, *, after: int = 0) -> TestRun | None:
    """Return the first run of `command` on `commit` that began after the run with that id."""
    return _runs(goal, commit, command).filter(id__gt=after).order_by("id").first()


def latest_run(goal: Task, commit: str, command: str) -> TestRun | None:
    """Return the last run of `command` on `commit`: the one that counts."""
    return _runs(goal, commit, command).order_by("id").last()


def test_commit(goal: Task, worktree: Path, commit: str, command: str) -> TestRun | None:
    """Return the run of `command` on `commit`, which `worktree` stands at; None without one.

    A commit that was tested before is not tested again.
    """
    if not command:
        return None
    known = latest_run(goal, commit, command)
    if known is not None:
        return known
    begun = begin_run(goal, commit, command)
    return end_run(begun, carry_out(begun, worktree))


def begin_run(goal: Task, commit: str, command: str) -> BegunRun:
    """Give the next run of `command` on `commit` its number and log."""
    taken = _runs(goal, commit, command).aggregate(last=Max("number"))["last"] or 0
    number = taken + 1
    command_id = hashlib.sha256(command.encode()).hexdigest()[:8]
    again = f"-{number}" if number > 1 else ""
    name = f"{goal.id8}-{commit[:12]}-{command_id}{again}.log"
    return BegunRun(goal, commit, command, number, local_node().home / "logs" / "tests" / name)


def carry_out(begun: BegunRun, worktree: Path) -> TestOutcome:
    """Run the command in `worktree`, which stands at the commit; touches no row, any thread may."""
    return run_test_command(
        begun.command,
        cwd=worktree,
        log_path=begun.log_path,
        time_limit_s=settings.ENVIRONMENT.test_time_limit_s,
    )


def end_run(begun: BegunRun, outcome: TestOutcome) -> TestRun:
    """Keep what a run came to."""
    run, _ = TestRun.objects.get_or_create(
        goal=begun.goal,
        commit=begun.commit,
        command=begun.command,
        number=begun.number,
        defaults={
            "passed": outcome.passed,
            "exit_code": outcome.exit_code,
            "timed_out": outcome.timed_out,
            "duration_ms": int(outcome.duration_s * 1000),
            "output_tail": outcome.output_tail,
            "log_path": str(begun.log_path.relative_to(local_node().home)),
            "at": now_utc(),
        },
    )
    return run


def how_it_ended(run: TestRun) -> str:
    """Return how a test run ended, in words that name the time limit (s) or the exit code."""
    if run.timed_out:
        return f"ran longer than its limit of {settings.ENVIRONMENT.test_time_limit_s} s"
    return f"ended with {run.exit_code}"


def note_merge(
    goal: Task,
    tasks: Sequence[Task],
    base_commit: str,
    head_commit: str,
    outcome: BatchOutcome,
    detail: dict[str, Any] | None = None,
    test_run: TestRun | None = None,
) -> MergeRun:
    """Keep what the gate merged and what came of it."""
    if test_run is None and head_commit:
        test_run = latest_run(goal, head_commit, goal.test_command)
    return MergeRun.objects.create(
        goal=goal,
        tasks=[task.id.hex for task in tasks],
        base_commit=base_commit,
        head_commit=head_commit,
        outcome=outcome,
        detail=detail or {},
        test_run=test_run,
        at=now_utc(),
    )


def note_once(
    goal: Task,
    tasks: Sequence[Task],
    base_commit: str,
    head_commit: str,
    outcome: BatchOutcome,
    test_run: TestRun | None = None,
) -> None:
    """Keep a step of a judgement, unless a worker that was killed since has kept it already."""
    same = MergeRun.objects.filter(
        goal=goal,
        base_commit=base_commit,
        head_commit=head_commit,
        outcome=outcome,
        tasks=[task.id.hex for task in tasks],
    )
    if not same.exists():
        note_merge(goal, tasks, base_commit, head_commit, outcome, test_run=test_run)


def _runs(goal: Task, commit: str, command: str) -> Any:
    return TestRun.objects.filter(goal=goal, commit=commit, command=command)
