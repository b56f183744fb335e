"""Opens reviews: each commit is merged alone, in memory, tested, and shown as what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from p2p.clock import now_utc
from swarm.gate.batch.merging import Chain, merge_usable
from swarm.gate.batch.trials import Trial, Trials
from swarm.gate.blame import Blame
from swarm.gate.opening import open_last_good
from swarm.git.fence import Fence
from swarm.git.integration import Integration
from swarm.git.places import drop_places
from swarm.git.repository import Repository
from swarm.models import Review, Task, TestRun
from swarm.review.changes import changes_between
from swarm.review.services import open_review


def open_reviews(
    goal: Task, repository: Repository, tasks: Sequence[Task], fence: Fence | None = None
) -> None:
    """Open a review of each reported commit; one that does not even merge goes back at once.

    The merges are those that the gate makes, so a batch of one finds its test run here.
    """
    integration = open_last_good(goal, repository, fence)
    try:
        _Opening(goal, integration, integration.head).open(tasks)
    finally:
        drop_places(integration)


@dataclass(frozen=True)
class _Opening:
    goal: Task
    integration: Integration
    start: str

    def open(self, tasks: Sequence[Task]) -> None:
        merged = self._merged(tasks)
        runs = self._tested(merged)
        for task, commit in merged.items():
            changes = changes_between(self.integration.repo, self.start, commit)
            review = Review(
                task=task,
                attempt=task.attempt,
                generation=task.generation,
                commit=task.commit,
                test_run=runs.get(task),
                merged_commit=commit,
                diff=changes.diff,
                diff_chars=changes.diff_chars,
                changed_paths=changes.paths,
                created_at=now_utc(),
            )
            open_review(review)

    def _merged(self, tasks: Sequence[Task]) -> dict[Task, str]:
        """Return each task that merges alone, with the commit which that gives."""
        chain = Chain(self.integration, self.start)
        blame = Blame(self.goal, self.start)
        merged = {}
        for task in tasks:
            outcome = merge_usable(self.integration, chain, (), task, blame)
            if outcome is not None and outcome.ok:
                merged[task] = outcome.commit
            elif outcome is not None:
                blame.conflict(task, outcome.conflicts, outcome.detail)
        return merged

    def _tested(self, merged: dict[Task, str]) -> dict[Task, TestRun]:
        """Run the goal's test command on each, or the task's own where the goal has none."""
        trials = {
            task: Trial(commit, command)
            for task, commit in merged.items()
            if (command := self.goal.test_command or task.test_command)
        }
        workers = settings.ENVIRONMENT.test_workers
        bench = Trials(self.goal, self.integration, workers=workers)
        return dict(zip(trials, bench.run(list(trials.values())), strict=True))
