"""What ended unheard is told the next emperor: once, by whom it was given to, and no more."""

from __future__ import annotations

from uuid import uuid4

import pytest

from swarm import jobs as swarm_jobs
from swarm.election import office
from swarm.models import Job, Task
from swarm.replication import terms
from swarm.services import goals, jobs, reports
from swarm.states import TaskStatus
from tests.support.cluster import Cluster, Faults
from tests.support.successions import Succession
from tests.support.trading import COMMIT, judge


def test_what_ended_is_told_again_when_the_emperor_still_waits_for_it(
    succession: Succession,
) -> None:
    """Its report met an emperor that had not heard of the task yet."""
    cluster, swarm = succession.cluster, succession.swarm
    succession.cut(succession.heir)
    goal = succession.work()
    with cluster.acting(succession.heir):
        terms.take_office(cluster.now)
        office.settle(cluster.now)
    succession.cut()
    swarm.finish(succession.third)
    swarm.talk()
    succession.follow(succession.third)
    swarm.talk()
    [complete] = succession.commands(0x13)[-1:]
    assert complete.outcome == "not_found"

    succession.come_back()

    task = succession.task(goal)
    assert (task.status, task.commit) == ("pending_review", COMMIT)


def test_said_twice_a_completion_changes_nothing(succession: Succession) -> None:
    goal = succession.work()
    succession.swarm.finish(succession.third)
    succession.swarm.talk()
    [run] = succession.swarm.runs(succession.third)
    with succession.cluster.acting(succession.third):
        reports.report_completion(run, now=succession.cluster.now)
    succession.swarm.talk()

    assert [row.outcome for row in succession.commands(0x13)] == ["accepted", "accepted"]
    assert succession.swarm.statuses(goal) == ["pending_review"]


def test_a_claim_of_a_stranger_takes_nothing_over(cluster: Cluster) -> None:
    succession = Succession.open(cluster)
    goal = succession.swarm.goal(1)
    succession.swarm.talk()
    succession.cut()
    succession.succeed()
    task = succession.task(goal)
    with cluster.acting(succession.heir), pytest.raises(reports.ExternalError):
        reports.apply_claim(
            task.id,
            generation=1,
            from_node_id="e" * 32,
            agent_id=uuid4(),
            agent_name="x",
            branch=f"task/{task.id8}",
            now=cluster.now,
        )
    assert succession.task(goal).status == TaskStatus.PENDING


def test_a_job_whose_goal_was_left_ends_quietly(cluster: Cluster) -> None:
    succession = Succession.open(cluster)
    goal = succession.swarm.goal(1)
    with cluster.acting(succession.lost):
        goals.enqueue_gate(goal, now=cluster.now)
        job = jobs.claim(Job.objects.get(kind="gate").id, now=cluster.now)
        assert job is not None
        terms.leave_office(cluster.now)
        office.step_down(cluster.now)
        swarm_jobs._failed(job, "no task", retryable=False)
        job.refresh_from_db()
        assert (job.status, job.error) == ("done", "left to another emperor")
        assert Task.with_released.get(id=goal.id).status == TaskStatus.IN_PROGRESS


@pytest.mark.parametrize("seed", range(3))
def test_every_goal_ends_once_whatever_the_network_does(cluster: Cluster, seed: int) -> None:
    succession = Succession.open(cluster, "third", "heir", "lost")
    swarm = succession.swarm
    cluster.random.seed(seed)
    goals_ = [swarm.goal(2) for _ in range(2)]
    cluster.faults = Faults(drop=0.2, duplicate=0.2, reorder=True)
    for _ in range(cluster.random.randrange(6)):
        swarm.dispatch()
        swarm.talk(1)
        for node in swarm.members:
            swarm.begin(node)
        if cluster.random.random() < 0.5:
            swarm.finish(cluster.random.choice(swarm.members))
        cluster.step(cluster.random.choice((0.1, 3.0)))
    succession.cut()
    swarm.dispatch()
    succession.succeed()
    swarm.talk(2)
    cluster.faults = Faults()
    succession.come_back()
    for _ in range(12):
        with cluster.acting(succession.heir):
            goals.requeue_lapsed(cluster.now)
            for task in Task.objects.filter(status=TaskStatus.PENDING_REVIEW):
                judge(task, TaskStatus.COMPLETED, cluster)
        succession.dispatch()
        swarm.beat()
        cluster.step(20.0)
        swarm.sync()
        succession.adopt()
        for node in swarm.members:
            swarm.begin(node)
            swarm.finish(node)
        swarm.talk()
    for goal in goals_:
        assert [task.status for task in succession.tasks(goal)] == ["completed", "completed"]
    assert [run for runs in succession.open_runs().values() for run in runs] == []
