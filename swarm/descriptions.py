"""Evidence and runs of the swarm as plain data for the API."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from swarm.models import Attempt, FlakyTest, MergeRun, TaskEvent, TestRun


def describe_event(event: TaskEvent) -> dict[str, Any]:
    """Return a transition of a task as JSON-ready data."""
    return {
        "id": event.id,
        "source": event.source,
        "target": event.target,
        "by": event.by,
        "reason": event.reason,
        "evidence": event.evidence,
        "at": _time(event.at),
    }


def describe_test_run(run: TestRun) -> dict[str, Any]:
    """Return a run of a test command as JSON-ready data; duration in milliseconds."""
    return {
        "id": run.id,
        "commit": run.commit,
        "goal_id": run.goal_id.hex,
        "command": run.command,
        "number": run.number,
        "state": run.state,
        "passed": run.passed,
        "exit_code": run.exit_code,
        "timed_out": run.timed_out,
        "time_limit_s": run.time_limit_s,
        "duration_ms": run.duration_ms,
        "sandboxed": run.sandboxed,
        "tests_run": run.tests_run,
        "tests_failed": run.tests_failed,
        "failing_tests": run.failing_tests,
        "report_note": run.report_note,
        "output_tail": run.output_tail,
        "at": _time(run.at),
        "ended_at": _time(run.ended_at),
    }


def describe_flaky_test(test: FlakyTest) -> dict[str, Any]:
    """Return a flaky test as JSON-ready data; without a name it is the command as a whole."""
    return {
        "repository": test.repository,
        "command": test.command,
        "name": test.name,
        "runs_seen": test.runs_seen,
        "flaky_times": test.flaky_times,
        "rate": test.rate,
        "test_runs": test.runs,
        "last_at": _time(test.last_at),
    }


def describe_merge_run(run: MergeRun) -> dict[str, Any]:
    """Return a batch of the merge gate as JSON-ready data."""
    return {
        "id": run.id,
        "tasks": run.tasks,
        "base_commit": run.base_commit,
        "head_commit": run.head_commit,
        "outcome": run.outcome,
        "detail": run.detail,
        "test_run_id": run.test_run_id,
        "at": _time(run.at),
    }


def describe_attempt(attempt: Attempt) -> dict[str, Any]:
    """Return a run of a task by an agent of this node as JSON-ready data."""
    return {
        "id": attempt.id.hex,
        "task_id": attempt.task_id.hex,
        "assigner_node_id": attempt.assigner_node_id,
        "tribute_id": attempt.tribute_id.hex if attempt.tribute_id else None,
        "title": attempt.title,
        "number": attempt.number,
        "generation": attempt.generation,
        "agent": attempt.agent.name if attempt.agent else None,
        "status": attempt.status,
        "repository": attempt.repository,
        "base_commit": attempt.base_commit,
        "branch": attempt.branch,
        "commit": attempt.commit,
        "exit_code": attempt.exit_code,
        "error": attempt.error,
        "output_tail": attempt.output_tail,
        "typed_at": _time(attempt.typed_at),
        "acknowledged_at": _time(attempt.acknowledged_at),
        "created_at": _time(attempt.created_at),
        "ended_at": _time(attempt.ended_at),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
