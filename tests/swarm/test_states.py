"""Every cell of the transition tables, tried from the tables themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from uuid import uuid4

import pytest

from marketplace.models import Execution, Tribute
from marketplace.services.transitions import move_execution, move_tribute
from marketplace.states import (
    EXECUTION_MOVES,
    TRIBUTE_MOVES,
    ExecutionStatus,
    Side,
    TributeStatus,
)
from p2p.local import local_node
from swarm.errors import WrongState
from swarm.models import Agent, Attempt, Task, TaskEvent
from swarm.services.attempts import move_attempt
from swarm.services.transitions import move_task
from swarm.states import (
    ATTEMPT_MOVES,
    ATTEMPT_TERMINAL,
    TASK_MOVES,
    TASK_TERMINAL,
    Actor,
    AttemptStatus,
    TaskStatus,
)

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALLOWED = {(move.source, move.target, move.by) for move in TASK_MOVES}


def a_task(status: TaskStatus) -> Task:
    return Task.objects.create(
        title="t",
        status=status,
        repository="/srv/r.git",
        created_by="a" * 32,
        created_at=NOW,
        updated_at=NOW,
    )


@pytest.mark.parametrize("actor", Actor)
def test_each_cell_of_the_task_table(actor: Actor) -> None:
    for source, target in product(TaskStatus, TaskStatus):
        task = a_task(source)
        if (source, target, actor) in ALLOWED:
            assert move_task(task.id, target, by=actor, reason="r", now=NOW).status == target
            event = TaskEvent.objects.get(task=task)
            assert (event.source, event.target, event.by) == (source, target, actor)
        else:
            with pytest.raises(WrongState):
                move_task(task.id, target, by=actor, reason="r", now=NOW, error="changed")
            task.refresh_from_db()
            assert (task.status, task.error) == (source, "")
            assert not TaskEvent.objects.filter(task=task).exists()


def test_nothing_leaves_a_terminal_status() -> None:
    assert not [move for move in TASK_MOVES if move.source in TASK_TERMINAL]
    assert not [move for move in ATTEMPT_MOVES if move.source in ATTEMPT_TERMINAL]


def test_every_task_status_can_be_reached_and_left() -> None:
    reached = {move.target for move in TASK_MOVES} | {
        TaskStatus.PLANNING,
        TaskStatus.BLOCKED,
        TaskStatus.PENDING,
    }
    assert reached == set(TaskStatus)
    assert {move.source for move in TASK_MOVES} == set(TaskStatus) - TASK_TERMINAL


def test_each_cell_of_the_attempt_table() -> None:
    allowed = {(move.source, move.target) for move in ATTEMPT_MOVES}
    for number, (source, target) in enumerate(product(AttemptStatus, AttemptStatus)):
        attempt = Attempt.objects.create(
            task_id=uuid4(),
            assigner_node_id="a" * 32,
            title="t",
            number=1,
            generation=number,
            repository="/srv/r.git",
            base_commit="b" * 40,
            branch="task/1",
            status=source,
            created_at=NOW,
        )
        if (source, target) in allowed:
            assert move_attempt(attempt.id, target, now=NOW).status == target
        else:
            with pytest.raises(WrongState):
                move_attempt(attempt.id, target, now=NOW)
            attempt.refresh_from_db()
            assert attempt.status == source


def a_tribute(side: Side, status: TributeStatus) -> Tribute:
    own, other = local_node().node_id, "b" * 32
    buyer, seller = (own, other) if side == Side.BUYER else (other, own)
    return Tribute.objects.create(
        offering_id=uuid4(),
        from_node_id=buyer,
        to_node_id=seller,
        repository="/srv/r.git",
        task_count=1,
        price_per_task=1,
        total_cost=1,
        status=status,
        deadline_at=NOW,
        work_deadline_at=NOW,
        created_at=NOW,
        updated_at=NOW,
    )


@pytest.mark.parametrize("side", Side)
def test_each_cell_of_the_tribute_table(side: Side) -> None:
    allowed = {(m.source, m.target) for m in TRIBUTE_MOVES if m.side == side}
    for source, target in product(TributeStatus, TributeStatus):
        tribute = a_tribute(side, source)
        if (source, target) in allowed:
            assert move_tribute(tribute.id, target, now=NOW).status == target
        else:
            with pytest.raises(WrongState):
                move_tribute(tribute.id, target, now=NOW, reason="changed")
            tribute.refresh_from_db()
            assert (tribute.status, tribute.reason) == (source, "")


@pytest.mark.parametrize("side", Side)
def test_each_cell_of_the_execution_table(side: Side) -> None:
    allowed = {(m.source, m.target) for m in EXECUTION_MOVES if m.side == side}
    for source, target in product(ExecutionStatus, ExecutionStatus):
        execution = Execution.objects.create(
            tribute=a_tribute(side, TributeStatus.ACCEPTED),
            task_id=uuid4(),
            status=source,
            opened_at=NOW,
        )
        if (source, target) in allowed:
            assert move_execution(execution, target, now=NOW).status == target
        else:
            with pytest.raises(WrongState):
                move_execution(execution, target, now=NOW, reason="changed")
            execution.refresh_from_db()
            assert (execution.status, execution.reason) == (source, "")


def test_a_move_whose_last_write_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    task = a_task(TaskStatus.PENDING)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the last write fails")

    monkeypatch.setattr("swarm.services.transitions.ring_on_commit", broken)
    with pytest.raises(RuntimeError):
        move_task(task.id, TaskStatus.CLAIMED, by=Actor.DISPATCHER, reason="r", now=NOW)

    task.refresh_from_db()
    assert task.status == TaskStatus.PENDING
    assert not TaskEvent.objects.exists()
    assert not Agent.objects.exists()
