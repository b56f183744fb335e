"""Merges of subtasks onto the last good state: in memory, each made once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from p2p.protocol.errors import DomainError, ExternalError
from swarm.gate.blame import Blame
from swarm.git.integration import Integration, MergeOutcome
from swarm.models import Task


class Chain:
    """The last good state `start`, and whatever rows of subtasks give on top of it."""

    def __init__(self, integration: Integration, start: str) -> None:
        """Take the integration, whose clone holds `start` and every commit to be merged."""
        self.start = start
        self._integration = integration
        self._made: dict[tuple[str, UUID], MergeOutcome] = {}

    def merge(self, tasks: Sequence[Task]) -> tuple[Task, ...]:
        """Return those of `tasks` that merge one after the other; the rest are left out."""
        return tuple(task for task, outcome in self._walk(tasks) if outcome.ok)

    def commit_of(self, tasks: Sequence[Task]) -> str:
        """Return the commit with all `tasks` merged in this order."""
        head = self.start
        for _, outcome in self._walk(tasks):
            head = outcome.commit
        return head

    def onto(self, tasks: Sequence[Task], task: Task) -> MergeOutcome:
        """Return what merging `task` on top of `tasks` gives.

        DomainError or ExternalError where git cannot use its commit.
        """
        return self._merge(self.commit_of(tasks), task)

    def _walk(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, MergeOutcome]]:
        head = self.start
        for task in tasks:
            outcome = self._merge(head, task)
            head = outcome.commit
            yield task, outcome

    def _merge(self, head: str, task: Task) -> MergeOutcome:
        key = (head, task.id)
        if key not in self._made:
            self._made[key] = self._integration.merge_onto(head, task.commit, _message(task))
        return self._made[key]


def merge_usable(
    integration: Integration, chain: Chain, merged: Sequence[Task], task: Task, blame: Blame
) -> MergeOutcome | None:
    """Merge one commit onto `merged`; None when git cannot use it, which costs its own task only.

    ExternalError (retryable) where another try may go better.
    """
    try:
        integration.repo.fetch_commit(task.git_branch, task.commit)
        return chain.onto(merged, task)
    except (DomainError, ExternalError) as unusable:
        if isinstance(unusable, ExternalError) and unusable.retryable:
            raise
        blame.unusable(task, unusable)
        return None


def _message(task: Task) -> str:
    return (
        f"Merge {task.git_branch}: {task.title}\n\n"
        f"Task: {task.id}\nAttempt: {task.attempt}\nNode: {task.assigned_node}"
    )
