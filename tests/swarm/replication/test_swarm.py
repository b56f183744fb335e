"""One swarm: the emperor's tasks are done by the agents of its workers, whatever gets lost."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from p2p.models import OutboxMessage
from swarm.models import Agent, Attempt, RemoteAgent, Task
from swarm.services import goals
from swarm.services.lifecycle import requeue_task
from swarm.services.supply import member_agents
from swarm.states import Actor, AttemptStatus
from tests.support.cluster import Faults
from tests.support.swarm_of_three import CHAIN, Swarm


def test_a_task_is_claimed_done_and_judged_across_nodes(swarm: Swarm) -> None:
    goal = swarm.goal(2)

    assert swarm.dispatch() == 2
    swarm.talk()
    assert swarm.statuses(goal) == ["claimed", "claimed"]
    assert {(t.assigned_node, t.assigned_agent) for t in swarm.subtasks(goal)} == {
        (worker.node_id, f"{worker.name}-1") for worker in swarm.workers
    }

    for worker in swarm.workers:
        swarm.begin(worker)
    swarm.talk()
    assert swarm.statuses(goal) == ["in_progress", "in_progress"]
    assert {task.progress for task in swarm.subtasks(goal)} == {"compiling"}

    for worker in swarm.workers:
        assert swarm.finish(worker) == 1
    swarm.talk()
    assert swarm.gate() == 2
    swarm.talk()

    assert swarm.statuses(goal) == ["completed", "completed"]
    for worker in swarm.workers:
        assert [copy.status for copy in swarm.copies(worker, goal)] == ["completed", "completed"]
        assert [run.status for run in swarm.runs(worker)] == [AttemptStatus.SUCCEEDED]
        assert swarm.agent(worker).attempt is None
        with swarm.cluster.acting(worker):
            assert not Task.objects.exists()


def test_no_sign_of_life_is_a_command(swarm: Swarm) -> None:
    swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    worker = next(each for each in swarm.workers if swarm.runs(each))

    swarm.begin(worker)

    with swarm.cluster.acting(worker):
        commands = OutboxMessage.objects.filter(kind="command").values_list("number", flat=True)
        assert list(commands) == [0x11]
        assert OutboxMessage.objects.filter(kind="flooded").last().number == 0x21


def test_heartbeats_renew_the_lease_and_silence_ends_it(swarm: Swarm) -> None:
    goal = swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    worker = next(each for each in swarm.workers if swarm.runs(each))
    other = next(each for each in swarm.workers if each is not worker)
    lease_s = settings.ENVIRONMENT.lease_s

    for _ in range(20):
        swarm.begin(worker)
        with swarm.cluster.acting(worker):
            Attempt.objects.update(progress_at=swarm.cluster.now)
        swarm.beat()
        swarm.cluster.step(lease_s / 4)
        swarm.sweep()
    assert swarm.statuses(goal) == ["in_progress"]

    swarm.cluster.cut = {frozenset(("emperor", worker.name)), frozenset((worker.name, other.name))}
    swarm.cluster.now += timedelta(seconds=lease_s + 1)
    swarm.beat()
    swarm.talk()
    swarm.sweep()
    assert swarm.statuses(goal) == ["pending"]
    assert swarm.dispatch() == 1
    swarm.talk()
    assert swarm.subtasks(goal)[0].assigned_node == other.node_id

    swarm.cluster.cut = set()
    swarm.cluster.settle(2)
    assert [run.status for run in swarm.runs(worker)] == [AttemptStatus.CANCELLED]


def test_defect_03_a_dispatch_that_was_overtaken_starts_no_second_agent(swarm: Swarm) -> None:
    goal = swarm.goal(1)
    swarm.dispatch()
    first = swarm.subtasks(goal)[0]
    winner_node = next(w for w in swarm.workers if w.node_id == first.assigned_node)
    other = next(w for w in swarm.workers if w is not winner_node)
    # Its assignment is still on its way when the emperor gives the task to somebody else.
    swarm.cluster.cut = {frozenset(("emperor", winner_node.name))}
    swarm.cluster.collect()
    with swarm.cluster.acting(swarm.emperor):
        requeue_task(first.id, reason="nobody answers", now=swarm.cluster.now)
        RemoteAgent.objects.filter(node_id=winner_node.node_id).update(available=False)
    assert swarm.dispatch() == 1
    swarm.talk()
    assert [run.generation for run in swarm.runs(other)] == [2]

    swarm.cluster.cut = set()
    swarm.cluster.faults = Faults(duplicate=1.0, reorder=True)
    swarm.cluster.settle(3)

    assert swarm.runs(winner_node) == []
    assert [run.generation for run in swarm.runs(other)] == [2]
    assert swarm.subtasks(goal)[0].assigned_node == other.node_id


def test_a_newer_dispatch_ends_the_older_run_of_the_same_task(swarm: Swarm) -> None:
    swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    worker = next(each for each in swarm.workers if swarm.runs(each))
    swarm.begin(worker)
    with swarm.cluster.acting(swarm.emperor):
        task = Task.objects.get(parent__isnull=False)
        requeue_task(task.id, reason="try again", now=swarm.cluster.now)
        RemoteAgent.objects.exclude(node_id=worker.node_id).delete()
    swarm.talk()

    assert swarm.dispatch() == 1
    swarm.talk()

    assert [(run.generation, run.status) for run in swarm.runs(worker)] == [
        (1, AttemptStatus.CANCELLED),
        (2, AttemptStatus.QUEUED),
    ]


def test_a_late_completion_of_an_old_generation_changes_nothing(swarm: Swarm) -> None:
    goal = swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    worker = next(each for each in swarm.workers if swarm.runs(each))
    swarm.begin(worker)
    swarm.talk()
    swarm.cluster.cut = {frozenset(("emperor", worker.name))}
    with swarm.cluster.acting(swarm.emperor):
        requeue_task(swarm.subtasks(goal)[0].id, reason="too slow", now=swarm.cluster.now)
    swarm.dispatch()
    swarm.finish(worker)
    swarm.talk()

    swarm.cluster.cut = set()
    swarm.cluster.settle(2)

    task = swarm.subtasks(goal)[0]
    assert (task.generation, task.status, task.commit) == (2, "claimed", "")
    assert "the current one is 2" in swarm.runs(worker)[0].error


def test_cancel_reaches_the_agent_of_another_member(swarm: Swarm) -> None:
    goal = swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    worker = next(each for each in swarm.workers if swarm.runs(each))
    swarm.begin(worker)

    with swarm.cluster.acting(swarm.emperor):
        goals.cancel_task(goal.id, reason="not needed", now=swarm.cluster.now)
    swarm.talk()

    assert [run.status for run in swarm.runs(worker)] == [AttemptStatus.CANCELLED]
    assert "not needed" in swarm.runs(worker)[0].error
    assert swarm.agent(worker).attempt is None
    assert [copy.status for copy in swarm.copies(worker, goal)] == ["cancelled"]


def test_defect_07_members_know_prerequisites_and_rework_and_assignments_are_answered(
    swarm: Swarm,
) -> None:
    goal = swarm.goal(text=CHAIN)
    swarm.dispatch()
    swarm.talk()
    worker = next(each for each in swarm.workers if swarm.runs(each))
    first, second = swarm.subtasks(goal)
    with swarm.cluster.acting(swarm.emperor):
        row = OutboxMessage.objects.get(number=0x16)
        assert (row.outcome, row.done_at is not None) == ("accepted", True)
        goals.requeue_or_fail(
            Task.objects.get(id=first.id),
            by=Actor.LEASE,
            reason="red",
            feedback="use the other parser",
            evidence={},
            now=swarm.cluster.now,
        )
    swarm.talk()

    copies = swarm.copies(worker, goal)
    assert copies[1].body["depends_on"] == [first.id.hex]
    assert copies[0].body["feedback"] == "use the other parser"
    assert [each["target"] for each in copies[0].body["history"]] == [
        "pending",
        "claimed",
        "pending",
    ]
    assert second.status == "blocked"


def test_an_assignment_that_is_refused_costs_no_attempt_and_waits_for_another_agent(
    swarm: Swarm,
) -> None:
    goal = swarm.goal(1)
    for worker in swarm.workers:
        with swarm.cluster.acting(worker):
            Agent.objects.update(reserved_for="tribute:x")
    assert swarm.dispatch() == 1
    swarm.talk()

    task = swarm.subtasks(goal)[0]
    assert (task.status, task.attempt, task.generation) == ("pending", 0, 1)
    with swarm.cluster.acting(swarm.emperor):
        reasons = list(task.events.order_by("id").values_list("reason", flat=True))
        assert "is ready, or reserved" in reasons[-1]
        assert len(member_agents(swarm.cluster.now)) == 1


def test_an_assignment_that_nobody_answers_is_given_to_another(swarm: Swarm) -> None:
    goal = swarm.goal(1)
    swarm.dispatch()
    task = swarm.subtasks(goal)[0]
    gone = next(each for each in swarm.workers if each.node_id == task.assigned_node)
    swarm.cluster.cut = {frozenset((gone.name, other.name)) for other in swarm.members}

    swarm.cluster.step(61.0)
    swarm.beat()
    swarm.talk()
    assert swarm.statuses(goal) == ["pending"]
    swarm.dispatch()
    swarm.talk()

    moved = swarm.subtasks(goal)[0]
    assert (moved.attempt, moved.generation) == (1, 2)
    assert moved.assigned_node not in ("", gone.node_id)
