"""Runs of tasks that change hands: what nobody was told of goes on, or is told again."""

from __future__ import annotations

from p2p.models import OutboxMessage
from swarm.election.adoption import ADOPTION_GAP, adopt_tasks
from swarm.models import RemoteAgent, Task, TaskCopy
from swarm.queries import task_counts
from swarm.replication import terms
from swarm.services import goals
from swarm.services.dispatch import dispatch_ready
from swarm.states import AttemptStatus, TaskStatus
from tests.support.cluster import Cluster
from tests.support.successions import Succession
from tests.support.swarm_of_three import CHAIN
from tests.support.trading import BASE, COMMIT, judge


def test_a_dispatch_that_nobody_told_of_goes_on(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "third")
    swarm = succession.swarm
    goal = swarm.goal(1)
    swarm.talk()
    succession.cut(succession.heir)
    swarm.dispatch()
    swarm.talk()
    swarm.begin(succession.third)
    [run] = swarm.runs(succession.third)
    assert (run.generation, run.status) == (1, AttemptStatus.WORKING)

    succession.cut()
    succession.succeed()

    task = succession.task(goal)
    assert (task.status, task.generation, task.attempt) == (TaskStatus.IN_PROGRESS, 1, 1)
    assert (task.assigned_node, task.assigned_agent) == (
        *(succession.third.node_id, "third-agent"),
    )
    assert task.git_branch == run.branch
    assert succession.dispatch() == 0
    swarm.finish(succession.third)
    swarm.talk()
    assert succession.task(goal).status == TaskStatus.PENDING_REVIEW
    [run] = swarm.runs(succession.third)
    assert run.status == AttemptStatus.SUCCEEDED


def test_a_second_dispatch_that_nobody_told_of_goes_on(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "third")
    swarm = succession.swarm
    goal = swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    swarm.begin(succession.third)
    swarm.talk()
    succession.cut(succession.heir)
    succession.fail(succession.third)
    swarm.talk()
    swarm.beat()
    swarm.talk()
    assert swarm.dispatch() == 1
    swarm.talk()
    swarm.begin(succession.third)
    assert [run.generation for run in swarm.runs(succession.third)] == [1, 2]

    succession.cut()
    succession.succeed()

    task = succession.task(goal)
    assert (task.status, task.generation, task.attempt) == ("in_progress", 2, 2)
    assert task.generation_floor == 1 + ADOPTION_GAP
    [run] = succession.open_runs()["third"]
    assert run.generation == 2
    swarm.finish(succession.third)
    swarm.talk()
    assert succession.task(goal).status == TaskStatus.PENDING_REVIEW


def test_a_run_that_is_too_late_is_stopped_and_no_generation_is_given_twice(
    cluster: Cluster,
) -> None:
    succession = Succession.open(cluster, "third", "heir")
    swarm = succession.swarm
    goal = swarm.goal(1)
    swarm.talk()
    with cluster.acting(succession.heir):
        agents = list(Task.objects.all())
        assert agents == []
    succession.cut(succession.heir)
    with cluster.acting(succession.lost):
        RemoteAgent.objects.filter(node_id=succession.heir.node_id).delete()
    swarm.dispatch()
    swarm.talk()
    swarm.begin(succession.third)
    [unknown] = swarm.runs(succession.third)

    succession.cut()
    with cluster.acting(succession.heir):
        terms.take_office(cluster.now)
        adopt_tasks(cluster.now)
        assert dispatch_ready(cluster.now) == 1  # before the other run's claim could come
    swarm.talk()
    succession.follow(succession.third)
    swarm.talk()
    swarm.beat()
    swarm.talk()

    task = succession.task(goal)
    assert task.generation == ADOPTION_GAP + 1 > unknown.generation
    assert task.assigned_node == succession.heir.node_id
    assert [run.status for run in swarm.runs(succession.third)] == [AttemptStatus.CANCELLED]
    swarm.begin(succession.heir)
    swarm.finish(succession.heir)
    assert succession.task(goal).status == TaskStatus.PENDING_REVIEW


def test_a_completion_that_nobody_told_of_is_resubmitted(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "third")
    swarm = succession.swarm
    goal = swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    swarm.begin(succession.third)
    swarm.talk()
    succession.cut()
    swarm.finish(succession.third)
    swarm.talk()

    succession.succeed()

    task = succession.task(goal)
    assert (task.status, task.commit) == (TaskStatus.PENDING_REVIEW, COMMIT)
    with cluster.acting(succession.third):
        waiting = OutboxMessage.objects.filter(kind="command", done_at__isnull=True)
        assert list(waiting) == []
        old = OutboxMessage.objects.filter(kind="command", to_node_id=succession.lost.node_id)
        assert old.filter(number=0x13, outcome="redirected").count() == 1
    succession.come_back()
    assert succession.task(goal).status == TaskStatus.PENDING_REVIEW


def test_a_completion_that_only_the_lost_emperor_took_is_resubmitted(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "third")
    swarm = succession.swarm
    goal = swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    swarm.begin(succession.third)
    swarm.talk()
    succession.cut(succession.heir)
    swarm.finish(succession.third)
    swarm.talk()
    assert swarm.statuses(goal) == ["pending_review"]
    assert swarm.copies(succession.heir, goal)[0].status == "in_progress"

    succession.cut()
    succession.succeed()

    assert succession.task(goal).status == TaskStatus.PENDING_REVIEW


def test_a_failure_that_nobody_told_of_is_resubmitted(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "third")
    swarm = succession.swarm
    goal = swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    swarm.begin(succession.third)
    swarm.talk()
    succession.cut()
    succession.fail(succession.third)

    succession.succeed()

    task = succession.task(goal)
    assert (task.status, task.attempt, task.error) == (
        *("pending", 1, "attempt 1 failed: exit code 1"),
    )
    swarm.beat()
    swarm.talk()
    assert succession.dispatch() == 1
    assert succession.task(goal).generation == task.generation + ADOPTION_GAP + 1


def test_what_the_returned_emperor_alone_knew_is_adopted(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "lost")
    swarm = succession.swarm
    succession.cut()
    goal = swarm.goal(2)
    swarm.dispatch()
    swarm.begin(succession.lost)
    succession.succeed()
    assert succession.tasks(goal) == []

    succession.come_back()

    assert [task.status for task in succession.tasks(goal)] == ["in_progress", "pending"]
    [run] = succession.open_runs()["lost"]
    assert run.assigner_node_id == succession.heir.node_id
    with cluster.acting(succession.lost):
        assert task_counts()["in_progress"] == 0
        assert dispatch_ready(cluster.now) == 0
        assert TaskCopy.objects.filter(parent_id=goal.id).count() == 2
    swarm.finish(succession.lost)
    swarm.talk()
    assert succession.tasks(goal)[0].status == TaskStatus.PENDING_REVIEW
    with cluster.acting(succession.heir):
        judge(succession.tasks(goal)[0], TaskStatus.COMPLETED, cluster)
    swarm.talk()
    swarm.beat()
    swarm.talk()
    assert succession.dispatch() == 1
    swarm.talk()
    swarm.begin(succession.lost)
    swarm.finish(succession.lost)
    swarm.talk()
    assert [task.status for task in succession.tasks(goal)] == ["completed", "pending_review"]


def test_two_emperors_with_goals_of_their_own_leave_one_with_both(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "lost", "heir", "third")
    swarm = succession.swarm
    shared = swarm.goal(1)
    swarm.talk()
    succession.cut()
    succession.succeed()
    old = swarm.goal(1)
    with cluster.acting(succession.heir):
        request = goals.GoalRequest(description=CHAIN, repository="/srv/r.git")
        new = goals.create_goal(request, now=cluster.now)
        goals.store_plan(new.id, base_branch="main", base_commit=BASE, now=cluster.now)
    swarm.dispatch()  # both emperors give the shared task to an agent of their side
    succession.dispatch()
    swarm.talk()
    for place in (succession.lost, succession.heir, succession.third):
        swarm.begin(place)
    swarm.talk()

    succession.come_back()

    held = {task.id for goal in (shared, old, new) for task in succession.tasks(goal)}
    assert len(held) == 4
    running = [run for runs in succession.open_runs().values() for run in runs]
    by_task = [run.task_id for run in running]
    assert len(set(by_task)) == len(by_task)
    assert by_task.count(succession.task(shared).id) == 1
    assert {run.assigner_node_id for run in running} == {succession.heir.node_id}
    with cluster.acting(succession.lost):
        assert not Task.objects.exists()
        assert Task.with_released.count() == 4
