"""The merge gate: proves reported commits by merging, testing and pushing them.

Runs as a job, one at a time per repository. Every step may be repeated: a worker that dies at
any point loses nothing, and what it had pushed is found again on the remote.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.protocol.errors import DomainError, ExternalError
from swarm.errors import WrongState
from swarm.gate.evidence import how_it_ended, note_merge, test_commit
from swarm.gate.forecast import note_arrival
from swarm.git.integration import Integration, MergeOutcome, open_integration
from swarm.git.names import integration_branch
from swarm.git.repository import Repository
from swarm.models import Task, TestRun
from swarm.services.goals import get_task, requeue_or_fail, settle_dependants
from swarm.services.overlaps import Overlap, warning
from swarm.services.transitions import move_task
from swarm.states import Actor, TaskStatus

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gate:
    """One run of the gate over a goal: its repository and its open integration worktree."""

    goal: Task
    repository: Repository
    integration: Integration
    start: str

    def merge_ready(self) -> None:
        """Merge, test and push every subtask that waits in `merging`, all at once if green."""
        ready = _in_status(self.goal, TaskStatus.MERGING)
        merged = self._merge_each(ready)
        if not merged:
            return
        red = self._first_red(merged)
        if red is None:
            self._accept(merged)
        elif len(merged) == 1:
            self._send_back(merged[0], red)
        else:
            self._one_by_one(merged)

    def _merge_each(self, ready: Sequence[Task]) -> list[Task]:
        """Merge what merges; a conflict goes back to its agent with the paths."""
        merged = []
        for task in ready:
            outcome = self._merge(task)
            if outcome is None:
                continue
            if outcome.ok:
                merged.append(task)
                continue
            paths = ", ".join(outcome.conflicts) or outcome.detail
            note_merge(self.goal, [task], self.start, "", "conflict", {"paths": outcome.conflicts})
            _rework(
                task,
                f"conflicts with the integration branch: {paths}",
                {"conflicts": outcome.conflicts, "detail": outcome.detail},
            )
        return merged

    def _merge(self, task: Task) -> MergeOutcome | None:
        """Merge one commit; None when git cannot use it, which costs its own subtask only."""
        head = self.integration.head
        try:
            self.repository.fetch_commit(task.git_branch, task.commit)
            return self.integration.merge(task.commit, _message(task))
        except (DomainError, ExternalError) as unusable:
            if isinstance(unusable, ExternalError) and unusable.retryable:
                raise
            self.integration.reset(head)
            _rework(task, f"cannot be merged: {unusable}", {"error": str(unusable)})
            return None

    def _first_red(self, merged: Sequence[Task]) -> TestRun | None:
        """Return the test run that turned red with this batch; None when all may pass."""
        head = self.integration.head
        whole = test_commit(self.goal, self.integration.path, head, self.goal.test_command)
        if whole is not None and not whole.passed and not self._red_before():
            return whole
        for task in merged:
            own = test_commit(self.goal, self.integration.path, head, task.test_command)
            if own is not None and not own.passed:
                return own
        return None

    def _red_before(self) -> bool:
        """Tell whether the command was red before this batch: recorded, not blamed on anybody."""
        head = self.integration.head
        self.integration.reset(self.start)
        before = test_commit(self.goal, self.integration.path, self.start, self.goal.test_command)
        self.integration.reset(head)
        was_red = before is not None and not before.passed
        if was_red:
            Task.objects.filter(id=self.goal.id).update(base_red=True)
        return was_red

    def _one_by_one(self, merged: Sequence[Task]) -> None:
        """Judge the subtasks of a red batch each on top of the last good state."""
        note_merge(
            self.goal, merged, self.start, self.integration.head, "split", {"reason": "red batch"}
        )
        self.integration.reset(self.start)
        for task in merged:
            single = Gate(self.goal, self.repository, self.integration, self.integration.head)
            if not single._merge_each([task]):
                continue
            red = single._first_red([task])
            if red is None:
                single._accept([task])
            else:
                single._send_back(task, red)

    def _accept(self, merged: Sequence[Task]) -> None:
        """Push with lease, then complete the batch in one transaction with its payments."""
        expected = self.repository.remote_head(integration_branch(self.goal.id))
        head = self.integration.push(expected)
        now = now_utc()
        with transaction.atomic():
            Task.objects.filter(id=self.goal.id).update(integration_commit=head, updated_at=now)
            for task in merged:
                _complete(task, head, now)
            note_merge(self.goal, merged, self.start, head, "merged", {})
            settle_dependants(self.goal.id, now=now)

    def _send_back(self, task: Task, red: TestRun) -> None:
        note_merge(self.goal, [task], self.start, self.integration.head, "red", {}, red)
        self.integration.reset(self.start)
        _rework(
            task,
            f"the tests turned red: {red.command!r} {how_it_ended(red)}",
            {"test_run": red.id, "commit": red.commit, "output": red.output_tail},
            red.output_tail,
        )


def run_gate(goal: Task) -> None:
    """Verify reports, merge what is ready and decide the goal when nothing is left to merge."""
    repository = Repository(goal.repository, local_node().home)
    repository.ensure()
    _verify_reports(goal, repository)
    if _in_status(goal, TaskStatus.MERGING):
        integration = open_integration(repository, goal.id, goal.base_commit)
        Gate(goal, repository, integration, integration.head).merge_ready()
    _decide(get_task(goal.id), repository)


def _verify_reports(goal: Task, repository: Repository) -> None:
    """A report counts when the remote itself shows the commit on the branch."""
    for task in _in_status(goal, TaskStatus.PENDING_REVIEW):
        shown = repository.remote_head(task.git_branch)
        if shown != task.commit:
            _rework(
                task,
                f"reported {task.commit[:8]} on {task.git_branch}, "
                f"the remote shows {shown[:8] if shown else 'no such branch'}",
                {"reported": task.commit, "remote": shown},
            )
        elif _adds_nothing(task, repository):
            _rework(
                task,
                f"reported {task.commit[:8]} adds nothing to its base {task.base_commit[:8]}",
                {"reported": task.commit, "base": task.base_commit},
            )
        else:
            _begin_merging(task, note_arrival(task, repository))


def _adds_nothing(task: Task, repository: Repository) -> bool:
    """Tell whether a reported commit is only what its run began with: no result to pay for."""
    try:
        repository.fetch_commit(task.git_branch, task.commit)
        return bool(task.base_commit) and repository.is_ancestor(task.commit, task.base_commit)
    except DomainError:
        return False  # the branch moved on since it was asked; merging says what is wrong


def _begin_merging(task: Task, overlaps: list[Overlap]) -> None:
    with _unless_moved(task):
        move_task(
            task.id,
            TaskStatus.MERGING,
            by=Actor.GATE,
            reason=f"the remote shows {task.commit[:8]} on {task.git_branch}{warning(overlaps)}",
            now=now_utc(),
            evidence={
                "branch": task.git_branch,
                "commit": task.commit,
                "overlaps": [each.as_evidence() for each in overlaps],
            },
        )


def _complete(task: Task, head: str, now: datetime) -> None:
    with _unless_moved(task):
        move_task(
            task.id,
            TaskStatus.COMPLETED,
            by=Actor.GATE,
            reason=f"{task.commit[:8]} is merged, tested and pushed as {head[:8]}",
            now=now,
            evidence={"commit": task.commit, "integrated_as": head},
            merged_commit=head,
            error="",
        )


def _decide(goal: Task, repository: Repository) -> None:
    """Complete the goal when every subtask is in the pushed branch and the tests are green."""
    if goal.status == TaskStatus.IN_PROGRESS:
        if set(goal.subtasks.values_list("status", flat=True)) != {TaskStatus.COMPLETED}:
            return
        goal = move_task(
            goal.id,
            TaskStatus.MERGING,
            by=Actor.GATE,
            reason="every subtask is merged; the whole test command decides",
            now=now_utc(),
        )
    if goal.status != TaskStatus.MERGING:
        return
    integration = open_integration(repository, goal.id, goal.base_commit)
    head = integration.head
    final = test_commit(goal, integration.path, head, goal.test_command)
    integration.close()
    _end_goal(goal, head, final)


def _end_goal(goal: Task, head: str, final: TestRun | None) -> None:
    branch = integration_branch(goal.id)
    if final is not None and not final.passed:
        move_task(
            goal.id,
            TaskStatus.FAILED,
            by=Actor.GATE,
            reason=f"{goal.test_command!r} {how_it_ended(final)} at {head[:8]}",
            now=now_utc(),
            evidence={"test_run": final.id, "output": final.output_tail},
            error=f"the tests are red at the integrated commit {head[:8]}: "
            f"{goal.test_command!r} {how_it_ended(final)}",
            result=f"{branch} at {head}",
        )
        return
    proof = f"{goal.test_command!r} is green" if final else "no test command was given"
    move_task(
        goal.id,
        TaskStatus.COMPLETED,
        by=Actor.GATE,
        reason=f"{proof} at {head[:8]}, pushed as {branch}",
        now=now_utc(),
        evidence={"test_run": final.id if final else None, "branch": branch, "commit": head},
        merged_commit=head,
        result=f"{branch} at {head}",
    )


def _rework(task: Task, reason: str, evidence: dict[str, object], feedback: str = "") -> None:
    with _unless_moved(task):
        requeue_or_fail(
            task,
            by=Actor.GATE,
            reason=reason,
            feedback=f"{reason}\n\n{feedback}".strip(),
            evidence=evidence,
            now=now_utc(),
        )


@contextlib.contextmanager
def _unless_moved(task: Task) -> Iterator[None]:
    """Let a task go that was cancelled while the gate was at work: its siblings go on."""
    try:
        yield
    except WrongState as moved:
        if Task.objects.filter(id=task.id, status=task.status).exists():
            raise
        log.info("task %s was moved meanwhile: %s", task.id8, moved)


def _in_status(goal: Task, status: TaskStatus) -> list[Task]:
    # Plan order is a dependency order here: dependants start after their prerequisites merged.
    return list(Task.objects.filter(parent_id=goal.id, status=status).order_by("number"))


def _message(task: Task) -> str:
    return (
        f"Merge {task.git_branch}: {task.title}\n\n"
        f"Task: {task.id}\nAttempt: {task.attempt}\nNode: {task.assigned_node}"
    )
