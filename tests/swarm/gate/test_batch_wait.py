"""How long the gate waits for the rest of a batch: only while others are about to report."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings

from swarm.models import Job, Task
from swarm.services.goals import GATE, enqueue_gate
from swarm.states import TaskStatus
from tests.support.factories import NOW, make_subtask, make_task

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def goal(monkeypatch: pytest.MonkeyPatch) -> Task:
    """A goal of two subtasks at a node that waits 5 s; the first one has reported."""
    patched = settings.ENVIRONMENT.model_copy(update={"batch_wait_s": 5.0})
    monkeypatch.setattr(settings, "ENVIRONMENT", patched)
    made = make_task("Goal", TaskStatus.IN_PROGRESS)
    make_subtask(made, 1, "One", TaskStatus.PENDING_REVIEW, NOW, attempt=1)
    make_subtask(made, 2, "Two", TaskStatus.IN_PROGRESS, NOW, attempt=1)
    return made


def due_in_s() -> float:
    return (Job.objects.get(kind=GATE).due_at - NOW).total_seconds()


def test_the_gate_waits_for_those_at_work_and_no_longer_than_for_the_last_of_them(
    goal: Task,
) -> None:
    enqueue_gate(goal, now=NOW)
    assert due_in_s() == 5.0

    enqueue_gate(goal, now=NOW + timedelta(seconds=3))
    assert due_in_s() == 5.0

    goal.subtasks.filter(number=2).update(status=TaskStatus.PENDING_REVIEW)
    enqueue_gate(goal, now=NOW + timedelta(seconds=4))
    assert due_in_s() == 4.0


def test_what_waits_for_an_agent_keeps_nobody_waiting(goal: Task) -> None:
    goal.subtasks.filter(number=2).update(status=TaskStatus.PENDING)

    enqueue_gate(goal, now=NOW)

    assert due_in_s() == 0.0
