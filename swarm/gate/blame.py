"""Sends subtasks back with what speaks against them: row, move and evidence in one transaction."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from p2p.clock import now_utc
from swarm.errors import WrongState
from swarm.gate.evidence import how_it_ended, note_merge
from swarm.gate.models import BatchOutcome
from swarm.models import Task, TestRun
from swarm.services.goals import requeue_or_fail
from swarm.states import Actor

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Blame:
    """Sends subtasks of one goal back that were judged on top of `start`."""

    goal: Task
    start: str

    def unusable(self, task: Task, error: Exception) -> None:
        """Send a subtask back whose commit git cannot use."""
        detail = {"error": str(error)}
        self._back(task, BatchOutcome.UNUSABLE, f"cannot be merged: {error}", detail)

    def conflict(self, task: Task, paths: list[str], detail: str) -> None:
        """Send a subtask back that does not merge with what is pushed or about to be."""
        where = ", ".join(paths) or detail
        self._back(
            task,
            BatchOutcome.CONFLICT,
            f"conflicts with the integration branch: {where}",
            {"conflicts": paths, "detail": detail},
            noted={"paths": paths},
        )

    def red(self, task: Task, run: TestRun) -> None:
        """Send a subtask back with which the goal's tests turned red, and again when run anew."""
        self._red(task, run, BatchOutcome.RED, "the tests turned red")

    def own_red(self, task: Task, run: TestRun) -> None:
        """Send a subtask back whose own test is red."""
        self._red(task, run, BatchOutcome.OWN_RED, "its own test is red")

    def _red(self, task: Task, run: TestRun, outcome: BatchOutcome, words: str) -> None:
        self._back(
            task,
            outcome,
            f"{words}: {run.command!r} {how_it_ended(run)}",
            {
                "test_run": run.id,
                "commit": run.commit,
                "output": run.output_tail,
                "failing_tests": run.failing_tests,
            },
            run=run,
        )

    def _back(
        self,
        task: Task,
        outcome: BatchOutcome,
        reason: str,
        evidence: dict[str, Any],
        *,
        noted: dict[str, Any] | None = None,
        run: TestRun | None = None,
    ) -> None:
        head = run.commit if run else ""
        with unless_moved(task), transaction.atomic():
            note_merge(self.goal, [task], self.start, head, outcome, noted, run)
            rework(task, reason, evidence, run.output_tail if run else "")


def rework(task: Task, reason: str, evidence: dict[str, Any], feedback: str = "") -> None:
    """Send a subtask back for another attempt, or fail it when none is left."""
    requeue_or_fail(
        task,
        by=Actor.GATE,
        reason=reason,
        feedback=f"{reason}\n\n{feedback}".strip(),
        evidence=evidence,
        now=now_utc(),
    )


@contextlib.contextmanager
def unless_moved(task: Task) -> Iterator[None]:
    """Let a task go that was cancelled while the gate was at work: its siblings go on."""
    try:
        yield
    except WrongState as moved:
        if Task.objects.filter(id=task.id, status=task.status).exists():
            raise
        log.info("task %s was moved meanwhile: %s", task.id8, moved)
