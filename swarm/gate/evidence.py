"""Test runs and merge runs as rows: the evidence of the gate, and what it need not repeat."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Max, QuerySet

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.protocol.errors import ExternalError
from swarm.gate import run_rows
from swarm.gate.junit import TestReport, read_reports, sentence_of
from swarm.gate.models import BatchOutcome
from swarm.gate.repository_settings import TestSettings
from swarm.gate.sandbox import Sandbox, sandbox_for
from swarm.gate.testrun import TestOutcome, run_test_command
from swarm.models import MergeRun, Task, TestRun
from swarm.states import TestRunState

JUNIT_FILE = "junit.xml"
COMMAND_NOT_FOUND = 127


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A run that is shown as running: its row, where it runs, and what it holds until it ends."""

    run: TestRun
    worktree: Path
    log_path: Path
    sandbox: Sandbox | None
    held: contextlib.ExitStack


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What a command did, and what its JUnit report says."""

    outcome: TestOutcome
    report: TestReport


def first_run(goal: Task, commit: str, command: str, *, after: int = 0) -> TestRun | None:
    """Return the first run of `command` on `commit` that began after the run with that id.

    ExternalError (retryable) where it is still at work; one whose worker died is none.
    """
    found = _runs(goal, commit, command).filter(id__gt=after).order_by("id").first()
    return found if _has_ended(found) else first_run(goal, commit, command, after=after)


def latest_run(goal: Task, commit: str, command: str) -> TestRun | None:
    """Return the last run of `command` on `commit`: the one that counts; raises as `first_run`."""
    found = _runs(goal, commit, command).order_by("id").last()
    return found if _has_ended(found) else latest_run(goal, commit, command)


def test_commit(goal: Task, worktree: Path, commit: str, command: str) -> TestRun | None:
    """Return the run of `command` on `commit`, which `worktree` stands at; None without one.

    A commit that was tested before is not tested again.  NoSandbox for work of a stranger where
    no sandbox can hold it.
    """
    if not command:
        return None
    known = latest_run(goal, commit, command)
    if known is not None:
        return known
    begun = begin_run(goal, commit, command, worktree)
    try:
        carried_out = carry_out(begun)
    except BaseException:
        abandon_run(begun)
        raise
    return end_run(begun, carried_out)


def begin_run(goal: Task, commit: str, command: str, worktree: Path) -> BegunRun:
    """Show the next run of `command` on `commit`, which `worktree` stands at, as running.

    It is to be ended, or abandoned, by the thread that began it.  NoSandbox as `test_commit`.
    """
    name = f"{goal.id8}-{commit[:12]}-{uuid.uuid4().hex[:8]}.log"
    log_path = local_node().home / "logs" / "tests" / name
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(_scratch(log_path))
        sandbox = sandbox_for(goal, worktree, commit, scratch)
        stack.enter_context(run_rows.held_log(log_path))
        run = run_rows.begin_run(_new_run(goal, commit, command, log_path, sandbox))
        return BegunRun(run, worktree, log_path, sandbox, stack.pop_all())


def carry_out(begun: BegunRun) -> CarriedOut:
    """Run the command; touches no row, any thread may."""
    junit = run_rows.scratch_of(begun.log_path) / JUNIT_FILE
    began_s = junit.parent.stat().st_mtime  # by the clock of the file system
    outcome = run_test_command(
        begun.run.command,
        cwd=begun.worktree,
        log_path=begun.log_path,
        time_limit_s=begun.run.time_limit_s,
        env={"VOIDLUX_JUNIT": str(junit)},
        wrap=begun.sandbox.wrap if begun.sandbox else list,
    )
    return CarriedOut(outcome, _report_of(begun.run, begun.worktree, junit, began_s))


def end_run(begun: BegunRun, carried_out: CarriedOut) -> TestRun:
    """Keep what a run came to."""
    outcome, report = carried_out.outcome, carried_out.report
    with begun.held:
        return run_rows.end_run(
            begun.run,
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


def abandon_run(begun: BegunRun) -> None:
    """Close a run that came to no result as interrupted."""
    with begun.held:
        run_rows.end_run(begun.run, TestRunState.INTERRUPTED)


def how_it_ended(run: TestRun) -> str:
    """Return how a test run ended: its time limit (s) or exit code, and which tests failed."""
    if run.timed_out:
        return f"ran longer than its limit of {run.time_limit_s} s"
    found = " (command not found)" if run.exit_code == COMMAND_NOT_FOUND else ""
    failing = sentence_of(run.tests_run, run.tests_failed, run.failing_tests)
    return f"ended with {run.exit_code}{found}" + (f"; {failing}" if failing else "")


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


def _runs(goal: Task, commit: str, command: str) -> QuerySet[TestRun]:
    """Return the runs that count: not those whose worker died."""
    runs = TestRun.objects.select_related("goal").exclude(state=TestRunState.INTERRUPTED)
    return runs.filter(goal=goal, commit=commit, command=command)


def _has_ended(run: TestRun | None) -> bool:
    """Tell whether a run may be taken as it is; False once it was closed as interrupted."""
    if run is None or run.state != TestRunState.RUNNING:
        return True
    if run_rows.interrupt_if_abandoned(run, now_utc()):
        return False
    message = f"test run {run.id} of {run.commit[:8]} is still at work"
    raise ExternalError(message, retryable=True)


def _new_run(
    goal: Task, commit: str, command: str, log_path: Path, sandbox: Sandbox | None
) -> TestRun:
    limit_s = TestSettings.of_goal(goal.test_settings).time_limit_s
    taken = _runs(goal, commit, command).aggregate(last=Max("number"))["last"] or 0
    return TestRun(
        goal=goal,
        commit=commit,
        command=command,
        number=taken + 1,
        time_limit_s=limit_s or settings.ENVIRONMENT.test_time_limit_s,
        sandboxed=sandbox is not None,
        log_path=str(log_path.relative_to(local_node().home)),
        at=now_utc(),
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
    folder = run_rows.scratch_of(log_path)
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
