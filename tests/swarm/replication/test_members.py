"""Members of one swarm: terms, copies, silence, a bad network and restarts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from p2p.models import OutboxMessage
from swarm.errors import NotEmperor
from swarm.models import Agent, KnownTerm, RemoteAgent, Task, TaskCopy
from swarm.queries import sellable_agents
from swarm.replication import authority, terms
from swarm.replication.messages import AgentHeartbeat, Term
from swarm.replication.pulses import living_members
from swarm.services import goals
from swarm.services.agents import remove_agent
from swarm.services.lifecycle import archive_task
from swarm.services.reconciliation import reconcile_tasks
from tests.support.cluster import Cluster, Faults
from tests.support.swarm_of_three import CHAIN, Swarm


def test_an_older_term_is_refused_and_a_newer_one_taken(swarm: Swarm) -> None:
    worker = swarm.workers[0]
    with swarm.cluster.acting(worker):
        KnownTerm.objects.create(node_id="0" * 32, counter=5, known_at=swarm.cluster.now)
    goal = swarm.goal(1)
    with swarm.cluster.acting(swarm.emperor):
        RemoteAgent.objects.exclude(node_id=worker.node_id).delete()

    swarm.dispatch()
    swarm.talk()

    assert swarm.runs(worker) == []
    assert swarm.statuses(goal) == ["pending"]
    with swarm.cluster.acting(worker):
        KnownTerm.objects.filter(counter=5).delete()
        authority.check_assigner(
            swarm.emperor.node_id, Term(counter=1, node_id=swarm.emperor.node_id)
        )


def test_copies_are_never_acted_on(swarm: Swarm) -> None:
    goal = swarm.goal(2)
    swarm.talk()
    worker = swarm.workers[0]

    with swarm.cluster.acting(worker):
        swarm.cluster.now += timedelta(hours=1)
        reconcile_tasks(swarm.cluster.now)
        assert goals.requeue_lapsed(swarm.cluster.now) == 0
        assert not Task.objects.exists()
        assert TaskCopy.objects.count() == 3
        with pytest.raises(NotEmperor) as refused:
            goals.create_goal(
                goals.GoalRequest(description=CHAIN, repository="/srv/r.git"),
                now=swarm.cluster.now,
            )
    assert (refused.value.code, refused.value.status) == ("not_emperor", 409)
    assert refused.value.emperor_node_id == swarm.emperor.node_id
    assert refused.value.address in str(refused.value) != ""
    assert [copy.emperor_node_id for copy in swarm.copies(worker, goal)] == [
        swarm.emperor.node_id
    ] * 2


def test_an_archived_task_is_hidden_everywhere_and_forgotten_later(swarm: Swarm) -> None:
    goal = swarm.goal(1)
    with swarm.cluster.acting(swarm.emperor):
        goals.cancel_task(goal.id, reason="no", now=swarm.cluster.now)
        archive_task(goal.id, now=swarm.cluster.now)
    swarm.talk()

    with swarm.cluster.acting(swarm.workers[0]):
        assert not TaskCopy.objects.filter(archived_at__isnull=True).exists()
        assert TaskCopy.objects.count() == 2


def test_a_deregistered_agent_does_not_come_back(swarm: Swarm) -> None:
    worker = swarm.workers[0]
    agent = swarm.agent(worker)
    with swarm.cluster.acting(worker):
        Agent.objects.filter(id=agent.id).update(status="ready")
        old = [bytes(row.frame) for row in OutboxMessage.objects.filter(number=0x20)]
        remove_agent(agent.id, now=swarm.cluster.now)
    swarm.talk()
    with swarm.cluster.acting(swarm.emperor):
        assert not RemoteAgent.objects.filter(id=agent.id).exists()

    # A late heartbeat that still names it, its old records again, and a whole sync.
    swarm.cluster._flying += [(swarm.emperor.node_id, frame) for frame in old]
    swarm.cluster.deliver()
    swarm.cluster.step(1.0)
    with swarm.cluster.acting(worker):
        from p2p import outbox
        from swarm.replication.messages import AgentBeat

        late = [AgentBeat(agent_id=agent.id.hex, status="ready")]
        outbox.flood(AgentHeartbeat, now=swarm.cluster.now, node_id=worker.node_id, agents=late)
    swarm.talk()
    swarm.sync()

    for node in (swarm.emperor, swarm.workers[1]):
        with swarm.cluster.acting(node):
            assert not RemoteAgent.objects.filter(id=agent.id).exists()


def test_a_silent_member_gets_no_work(swarm: Swarm) -> None:
    swarm.goal(1)
    swarm.cluster.now += timedelta(seconds=31)

    assert swarm.dispatch() == 0
    with swarm.cluster.acting(swarm.emperor):
        assert living_members(swarm.cluster.now) == set()
    swarm.beat()
    swarm.talk()
    assert swarm.dispatch() == 1


def test_nothing_is_for_sale_that_the_emperor_could_use(swarm: Swarm) -> None:
    worker = swarm.workers[0]
    with swarm.cluster.acting(worker):
        assert len(sellable_agents(swarm.cluster.now)) == 1
    swarm.goal(3)
    swarm.talk()

    with swarm.cluster.acting(worker):
        assert sellable_agents(swarm.cluster.now) == []
        swarm.cluster.now += timedelta(seconds=60)  # the emperor is not heard of any more
        assert len(sellable_agents(swarm.cluster.now)) == 1


@pytest.mark.parametrize("seed", range(8))
def test_a_goal_ends_under_loss_duplication_and_reordering(cluster: Cluster, seed: int) -> None:
    cluster.random.seed(seed)
    swarm = Swarm.open(cluster, agents=2)
    goal = swarm.goal(6)
    cluster.faults = Faults(drop=0.25, duplicate=0.25, reorder=True)

    for _ in range(400):
        swarm.beat()
        swarm.dispatch()
        cluster.step(5.0)
        for worker in swarm.workers:
            swarm.begin(worker)
            if cluster.random.random() < 0.5:
                swarm.finish(worker)
        swarm.sweep()
        swarm.gate()
        if cluster.random.random() < 0.1:
            swarm.sync()
        if set(swarm.statuses(goal)) == {"completed"}:
            break
    cluster.settle(2)
    swarm.sync()

    assert swarm.statuses(goal) == ["completed"] * 6
    for worker in swarm.workers:
        assert [copy.status for copy in swarm.copies(worker, goal)] == ["completed"] * 6
        open_runs = [r for r in swarm.runs(worker) if r.status not in ("succeeded", "cancelled")]
        assert open_runs == []
    assert all(task.attempt <= task.attempts_max for task in swarm.subtasks(goal))
    per_generation = [
        (run.task_id, run.generation) for worker in swarm.workers for run in swarm.runs(worker)
    ]
    assert len(per_generation) == len(set(per_generation))


def test_a_worker_that_restarts_goes_on(swarm: Swarm) -> None:
    goal = swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    worker = next(each for each in swarm.workers if swarm.runs(each))
    swarm.begin(worker)
    with swarm.cluster.acting(worker):
        reconcile_tasks(swarm.cluster.now)
    swarm.finish(worker)
    swarm.talk()

    assert swarm.statuses(goal) == ["pending_review"]


def test_an_emperor_that_restarts_keeps_the_tasks_of_its_members(swarm: Swarm) -> None:
    goal = swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    worker = next(each for each in swarm.workers if swarm.runs(each))
    swarm.begin(worker)
    swarm.cluster.now += timedelta(minutes=10)
    with swarm.cluster.acting(swarm.emperor):
        assert terms.take_office(swarm.cluster.now).counter == 1
        reconcile_tasks(swarm.cluster.now)
    swarm.sweep()
    swarm.finish(worker)
    swarm.cluster.settle(1)

    task = swarm.subtasks(goal)[0]
    assert (task.status, task.attempt) == ("pending_review", 1)
