"""Goals become subtasks; failures and cancellations cascade with their reason."""

from __future__ import annotations

import pytest
from django.conf import settings

from p2p.protocol.errors import DomainError
from swarm.models import Agent, Attempt, Job, Task
from swarm.services import goals
from swarm.services.dispatch import dispatch_ready
from swarm.states import AttemptStatus, JobStatus, TaskStatus
from tests.swarm.planned_goals import CHAIN, NOW, a_goal, an_agent, complete, fail, statuses

pytestmark = pytest.mark.django_db


def test_a_plan_is_stored_whole() -> None:
    goal = a_goal()

    goal.refresh_from_db()
    assert goal.status == TaskStatus.IN_PROGRESS
    assert statuses(goal) == ["pending", "blocked", "blocked", "pending"]
    assert [t.number for t in goal.subtasks.get(number=3).depends_on.all()] == [2]


@pytest.mark.parametrize(("given", "expected"), [(None, "make test"), ("", ""), ("tox", "tox")])
def test_a_goal_without_a_test_command_is_proved_by_the_nodes(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = settings.ENVIRONMENT.model_copy(update={"test_command": "make test"})
    monkeypatch.setattr(settings, "ENVIRONMENT", ours)
    request = goals.GoalRequest(description=CHAIN, repository="/srv/remote.git", test_command=given)

    assert goals.create_goal(request, now=NOW).test_command == expected


def test_a_bad_outline_stores_nothing() -> None:
    with pytest.raises(DomainError) as refused:
        a_goal("# Not indented\n\n- [ ] Just words\n```sh\ntrue\n```\n")

    assert (refused.value.code, refused.value.status) == ("bad_outline", 422)
    assert not Task.objects.exists()
    assert not Job.objects.exists()


def test_a_dependant_waits_until_its_prerequisite_is_merged() -> None:
    goal = a_goal()

    complete(goal, 1)

    assert statuses(goal) == ["completed", "pending", "blocked", "pending"]


def test_a_failed_prerequisite_fails_its_dependants_and_the_goal_with_the_reason() -> None:
    goal = a_goal()

    fail(goal, 1)
    assert statuses(goal) == ["failed", "failed", "failed", "pending"]
    complete(goal, 4)

    goal.refresh_from_db()
    assert goal.status == TaskStatus.FAILED
    assert goal.subtasks.get(number=3).error == "prerequisite 2 (Second) failed"
    assert "1 First: it broke" in goal.error


def test_when_all_are_merged_the_gate_decides() -> None:
    goal = a_goal()

    for number in (1, 2, 3, 4):
        complete(goal, number)

    assert Job.objects.get(kind=goals.GATE).status == JobStatus.QUEUED
    goal.refresh_from_db()
    assert goal.status == TaskStatus.IN_PROGRESS


def test_cancelling_a_goal_cancels_its_open_subtasks_and_their_runs() -> None:
    goal = a_goal()
    an_agent("one")
    dispatch_ready(NOW)
    complete(goal, 4)

    goals.cancel_task(goal.id, reason="not needed", now=NOW)

    assert statuses(goal) == ["cancelled", "cancelled", "cancelled", "completed"]
    assert Attempt.objects.get().status == AttemptStatus.CANCELLED
    assert Agent.objects.get().attempt is None
    with pytest.raises(DomainError, match="is cancelled"):
        goals.cancel_task(goal.id, reason="again", now=NOW)
