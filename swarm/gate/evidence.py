"""Test runs and merge runs as rows: the evidence of the gate, and what it need not repeat."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings

from p2p.clock import now_utc
from p2p.local import local_node
from swarm.gate.testrun import run_test_command
from swarm.models import MergeRun, Task, TestRun


def test_commit(goal: Task, worktree: Path, commit: str, command: str) -> TestRun | None:
    """Return the run of `command` on `commit`, which `worktree` stands at; None without one.

    A commit that was tested before is not tested again.
    """
    if not command:
        return None
    known = TestRun.objects.filter(goal=goal, commit=commit, command=command).first()
    if known is not None:
        return known
    command_id = hashlib.sha256(command.encode()).hexdigest()[:8]
    name = f"{goal.id8}-{commit[:12]}-{command_id}.log"
    log_path = local_node().home / "logs" / "tests" / name
    outcome = run_test_command(
        command,
        cwd=worktree,
        log_path=log_path,
        time_limit_s=settings.ENVIRONMENT.test_time_limit_s,
    )
    run, _ = TestRun.objects.get_or_create(
        goal=goal,
        commit=commit,
        command=command,
        defaults={
            "passed": outcome.passed,
            "exit_code": outcome.exit_code,
            "timed_out": outcome.timed_out,
            "duration_ms": int(outcome.duration_s * 1000),
            "output_tail": outcome.output_tail,
            "log_path": str(log_path.relative_to(local_node().home)),
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
    outcome: str,
    detail: dict[str, Any],
    test_run: TestRun | None = None,
) -> MergeRun:
    """Keep what the gate merged and what came of it."""
    if test_run is None and head_commit:
        test_run = TestRun.objects.filter(
            goal=goal, commit=head_commit, command=goal.test_command
        ).first()
    return MergeRun.objects.create(
        goal=goal,
        tasks=[task.id.hex for task in tasks],
        base_commit=base_commit,
        head_commit=head_commit,
        outcome=outcome,
        detail=detail,
        test_run=test_run,
        at=now_utc(),
    )
