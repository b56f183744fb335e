"""Test runs and merge runs as rows: the evidence of the gate, and what it need not repeat."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.protocol.errors import ExternalError
from swarm.gate.junit import TestReport, read_reports, sentence_of
from swarm.gate.repository_settings import TestSettings
from swarm.gate.run_rows import (
    begin_run,
    end_run,
    held_log,
    interrupt_if_abandoned,
    scratch_of,
)
from swarm.gate.sandbox import Sandbox, sandbox_for
from swarm.gate.testrun import TestOutcome, run_test_command
from swarm.models import MergeRun, Task, TestRun
from swarm.states import TestRunState

JUNIT_FILE = "junit.xml"
COMMAND_NOT_FOUND = 127


def test_commit(goal: Task, worktree: Path, commit: str, command: str) -> TestRun | None:
    """Return the run of `command` on `commit`, which `worktree` stands at; None without one.

    A commit that was tested before is not tested again.  NoSandbox for work of a stranger where
    no sandbox can hold it.
    """
    if not command:
        return None
    known = _known(goal, commit, command)
    if known is not None:
        return known
    name = f"{goal.id8}-{commit[:12]}-{uuid.uuid4().hex[:8]}.log"
    log_path = local_node().home / "logs" / "tests" / name
    with _scratch(log_path) as scratch:
        sandbox = sandbox_for(goal, worktree, commit, scratch)
        with held_log(log_path):
            run = begin_run(_new_run(goal, commit, command, log_path, sandbox))
            return _carry_out(run, worktree, log_path, sandbox)


def how_it_ended(run: TestRun) -> str:
    """Return how a test run ended: its time limit (s) or exit code, and which tests failed."""
    if run.timed_out:
        return f"ran longer than its limit of {run.time_limit_s} s"
    found = " (command not found)" if run.exit_code == COMMAND_NOT_FOUND else ""
    failing = sentence_of(run.tests_run, run.tests_failed, run.failing_tests)
    return f"ended with {run.exit_code}{found}" + (f"; {failing}" if failing else "")


def _known(goal: Task, commit: str, command: str) -> TestRun | None:
    """Return the result of an earlier run; a run whose worker died is none."""
    runs = TestRun.objects.select_related("goal").exclude(state=TestRunState.INTERRUPTED)
    known = runs.filter(goal=goal, commit=commit, command=command).first()
    if known is None or known.state != TestRunState.RUNNING:
        return known
    if interrupt_if_abandoned(known, now_utc()):
        return None
    message = f"test run {known.id} of {commit[:8]} is still at work"
    raise ExternalError(message, retryable=True)


def _new_run(
    goal: Task, commit: str, command: str, log_path: Path, sandbox: Sandbox | None
) -> TestRun:
    limit_s = TestSettings.of_goal(goal.test_settings).time_limit_s
    return TestRun(
        goal=goal,
        commit=commit,
        command=command,
        time_limit_s=limit_s or settings.ENVIRONMENT.test_time_limit_s,
        sandboxed=sandbox is not None,
        log_path=str(log_path.relative_to(local_node().home)),
        at=now_utc(),
    )


def _carry_out(run: TestRun, worktree: Path, log_path: Path, sandbox: Sandbox | None) -> TestRun:
    junit = scratch_of(log_path) / JUNIT_FILE
    began_s = junit.parent.stat().st_mtime  # by the clock of the file system
    try:
        outcome = run_test_command(
            run.command,
            cwd=worktree,
            log_path=log_path,
            time_limit_s=run.time_limit_s,
            env={"VOIDLUX_JUNIT": str(junit)},
            wrap=sandbox.wrap if sandbox else list,
        )
    except BaseException:
        end_run(run, TestRunState.INTERRUPTED)
        raise
    report = _report_of(run, worktree, junit, began_s)
    return end_run(
        run,
        _state_of(outcome),
        exit_code=outcome.exit_code,
        timed_out=outcome.timed_out,
        duration_ms=int(outcome.duration_s * 1000),
        output_tail=outcome.output_tail,
        tests_run=report.tests_run,
        tests_failed=report.tests_failed,
        failing_tests=report.failing_tests,
        report_note=report.note,
    )


def _state_of(outcome: TestOutcome) -> TestRunState:
    if outcome.timed_out:
        return TestRunState.TIMED_OUT
    return TestRunState.PASSED if outcome.passed else TestRunState.FAILED


def _report_of(run: TestRun, worktree: Path, junit: Path, began_s: float) -> TestReport:
    """Read what the command wrote to $VOIDLUX_JUNIT, or else where the repository says."""
    if os.path.lexists(junit):
        return read_reports([junit], written_after_s=began_s, below=junit.parent)
    pattern = TestSettings.of_goal(run.goal.test_settings).junit
    if not pattern:
        return TestReport()
    return read_reports(worktree.glob(pattern), written_after_s=began_s, below=worktree)


@contextlib.contextmanager
def _scratch(log_path: Path) -> Iterator[Path]:
    """Make a folder outside the worktree that the command may write to."""
    folder = scratch_of(log_path)
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
        runs = TestRun.objects.exclude(state=TestRunState.INTERRUPTED)
        test_run = runs.filter(goal=goal, commit=head_commit, command=goal.test_command).first()
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
