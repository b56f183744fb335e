"""Questions of hired agents: to the buyer, and the answer back, over a network that misbehaves."""

from __future__ import annotations

from uuid import UUID

import pytest

from p2p.models import OutboxMessage
from p2p.protocol.errors import DomainError
from swarm import hooks
from swarm.models import Agent, Attempt, Task, TaskEvent
from swarm.services import asking, attempts, goals
from swarm.services.answering import answer_task
from swarm.states import AttemptStatus, TaskStatus
from tests.support.cluster import Cluster, Faults
from tests.support.trading import Market


def hired(cluster: Cluster) -> tuple[Market, UUID, UUID]:
    """A subtask that the seller's agent works on: market, task id, attempt id at the seller."""
    market = Market.open(cluster, agents=1)
    goal = market.goal(1)
    market.request(goal, 1)
    pass_on(cluster)
    market.dispatch()
    pass_on(cluster)
    with cluster.acting(market.seller):
        attempt = Attempt.objects.get()
        for target in (AttemptStatus.PREPARING, AttemptStatus.WORKING):
            attempts.move_attempt(attempt.id, target, now=cluster.now)
        attempts.acknowledge(attempts.get_attempt(attempt.id), now=cluster.now)
    pass_on(cluster)
    return market, attempt.task_id, attempt.id


def pass_on(cluster: Cluster) -> None:
    """Let everything that is said arrive, within seconds."""
    for _ in range(6):
        cluster.step(1)


def task_at(cluster: Cluster, market: Market, task_id: UUID) -> Task:
    with cluster.acting(market.buyer):
        return Task.objects.get(id=task_id)


@pytest.mark.parametrize("seed", range(3))
def test_question_and_answer_cross_the_mesh_whatever_is_lost_or_doubled(
    cluster: Cluster, seed: int
) -> None:
    market, task_id, attempt_id = hired(cluster)
    cluster.random.seed(seed)
    cluster.faults = Faults(drop=0.4, duplicate=0.4, reorder=True)
    with cluster.acting(market.seller):
        asking.ask(attempt_id, question="Tabs?", choices=["yes", "no"], now=cluster.now)
    for _ in range(4):
        cluster.step()
    cluster.settle(rounds=3)
    task = task_at(cluster, market, task_id)
    assert (task.status, task.question, task.choices) == ("waiting_input", "Tabs?", ["yes", "no"])

    cluster.faults = Faults(drop=0.4, duplicate=0.4, reorder=True)
    with cluster.acting(market.buyer):
        answer_task(task_id, text="no", now=cluster.now)
    for _ in range(4):
        cluster.step()
    cluster.settle(rounds=3)
    with cluster.acting(market.seller):
        assert asking.fetch_answer(attempt_id, now=cluster.now).answer == "no"
        assert Agent.objects.get().status == "working"
    cluster.settle(rounds=3)
    assert task_at(cluster, market, task_id).status == "in_progress"
    with cluster.acting(market.buyer):
        targets = list(TaskEvent.objects.filter(task_id=task_id).values_list("target", flat=True))
    assert targets.count("waiting_input") == 2  # asked once, answered once
    assert targets[-1] == "in_progress"


def test_signs_of_life_keep_the_lease_and_do_not_end_the_wait(cluster: Cluster) -> None:
    market, task_id, attempt_id = hired(cluster)
    with cluster.acting(market.seller):
        asking.ask(attempt_id, question="Go on?", choices=[], now=cluster.now)
    for _ in range(10):
        cluster.step(20)
        with cluster.acting(market.seller):
            attempt = attempts.get_attempt(attempt_id)
            attempts.reports.report_progress(attempt, "waiting", now=cluster.now)
        cluster.step(1)
        with cluster.acting(market.buyer):
            goals.requeue_lapsed(cluster.now)
    assert task_at(cluster, market, task_id).status == "waiting_input"


def test_an_answer_is_acknowledged_by_the_next_sign_of_life_after_delivery(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, task_id, attempt_id = hired(cluster)
    carried: list[tuple[UUID, str]] = []
    monkeypatch.setattr(
        hooks, "answer_carriers", [lambda attempt, text, now: carried.append((attempt.id, text))]
    )
    with cluster.acting(market.seller):
        asking.ask(attempt_id, question="Go on?", choices=[], now=cluster.now)
    cluster.settle(rounds=1)
    with cluster.acting(market.buyer):
        answer_task(task_id, text="yes", now=cluster.now)
    cluster.settle(rounds=1)
    with cluster.acting(market.seller):
        assert carried == [(attempt_id, "yes")]
        assert asking.note_sign_of_life(attempt_id, now=cluster.now) is False
        asking.note_answer_delivered(attempt_id, now=cluster.now)
        assert asking.note_sign_of_life(attempt_id, now=cluster.now) is True
        assert asking.note_sign_of_life(attempt_id, now=cluster.now) is False
    cluster.settle(rounds=1)
    assert task_at(cluster, market, task_id).status == "in_progress"


def test_an_answer_to_a_run_that_has_ended_is_asked_for_again(cluster: Cluster) -> None:
    market, task_id, attempt_id = hired(cluster)
    with cluster.acting(market.seller):
        asking.ask(attempt_id, question="Go on?", choices=[], now=cluster.now)
    cluster.settle(rounds=1)
    with cluster.acting(market.seller):
        Attempt.objects.filter(id=attempt_id).update(status=AttemptStatus.CANCELLED)
    with cluster.acting(market.buyer):
        answer_task(task_id, text="yes", now=cluster.now)
    cluster.settle(rounds=1)
    task = task_at(cluster, market, task_id)
    assert (task.status, task.answer, task.answered_at) == ("waiting_input", "", None)
    with cluster.acting(market.buyer):
        reason = TaskEvent.objects.filter(task_id=task_id).latest("id").reason
    assert reason == "the answer was not taken: the run that asked has ended: cancelled"


def test_a_question_of_an_old_generation_is_refused(cluster: Cluster) -> None:
    market, task_id, attempt_id = hired(cluster)
    with cluster.acting(market.buyer):
        Task.objects.filter(id=task_id).update(generation=9)
    with cluster.acting(market.seller):
        asking.ask(attempt_id, question="Go on?", choices=[], now=cluster.now)
    cluster.settle(rounds=1)
    task = task_at(cluster, market, task_id)
    assert (task.status, task.question) == (TaskStatus.IN_PROGRESS, "")


def test_answering_twice_sends_one_answer(cluster: Cluster) -> None:
    market, task_id, attempt_id = hired(cluster)
    with cluster.acting(market.seller):
        asking.ask(attempt_id, question="Go on?", choices=[], now=cluster.now)
    cluster.settle(rounds=1)
    with cluster.acting(market.buyer):
        answer_task(task_id, text="yes", now=cluster.now)
        with pytest.raises(DomainError, match="was answered at 2026-01-01T") as refusal:
            answer_task(task_id, text="no", now=cluster.now)
        assert refusal.value.code == "already_answered"
        assert OutboxMessage.objects.filter(number=0x1A).count() == 1
