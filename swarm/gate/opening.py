"""Opens a goal's integration at the last good state; what others put on top is proved first."""

from __future__ import annotations

from django.conf import settings

from p2p.protocol.errors import DomainError
from swarm.gate.batch.bench import newly_red
from swarm.gate.batch.trials import Trial, Trials
from swarm.gate.evidence import how_it_ended, latest_run, note_merge
from swarm.gate.flaky import note_flaky
from swarm.gate.models import BatchOutcome
from swarm.git.fence import Fence
from swarm.git.integration import Integration, open_integration
from swarm.git.places import drop_places
from swarm.git.repository import Repository
from swarm.models import Task


def open_last_good(goal: Task, repository: Repository, fence: Fence | None = None) -> Integration:
    """Open the worktree in which a goal's subtasks come together; a killed worker's are dropped.

    DomainError `integration_rewritten` where the branch lost what was merged, `integration_red`
    where somebody else moved it on and the tests are red there.
    """
    known = goal.integration_commit or goal.base_commit
    integration = open_integration(
        repository, goal.id, goal.base_commit, last_pushed=known, fence=fence
    )
    drop_places(integration)
    if integration.head != known:
        _adopt(goal, integration, known)
    return integration


def _adopt(goal: Task, integration: Integration, known: str) -> None:
    """Take in what others pushed to the branch, on the same terms as any subtask."""
    head = integration.head
    if goal.test_command:
        _prove(goal, integration, known, head)
    note_merge(goal, [], known, head, BatchOutcome.ADOPTED)
    Task.objects.filter(id=goal.id).update(integration_commit=head)
    integration.reset(head)


def _prove(goal: Task, integration: Integration, known: str, head: str) -> None:
    trials = Trials(goal, integration, workers=settings.ENVIRONMENT.test_workers)
    [run] = trials.run([Trial(head, goal.test_command)])
    if run.passed:
        return
    measure = latest_run(goal, known, goal.test_command)
    if measure is None:
        [measure] = trials.run([Trial(known, goal.test_command)])
    if not newly_red(run, measure):
        return
    [again] = trials.run([Trial(head, goal.test_command, after=run.id)])
    if not newly_red(again, measure):
        note_flaky(goal, run, again)
    else:
        raise DomainError(
            "integration_red",
            f"somebody else moved {integration.branch} to {head}, where the tests are red: "
            f"{again.command!r} {how_it_ended(again)}",
        )
