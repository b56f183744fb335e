"""Goals whose plan is being made, is known in part or waits for approval, at the next emperor."""

from __future__ import annotations

from datetime import timedelta

import pytest

from swarm.election.adoption import PLAN_WAIT
from swarm.models import Attempt, Job, Task, TaskCopy
from swarm.replication.bodies import task_body
from swarm.replication.restoring import task_columns
from swarm.replication.tasks import publish_task
from swarm.services import goals
from swarm.states import JobStatus, TaskStatus
from tests.support.cluster import Cluster
from tests.support.successions import Succession
from tests.support.trading import BASE

PROSE = "# Tidy up\n\nMake the thing nicer."


def test_a_goal_in_planning_is_planned_by_the_heir(cluster: Cluster) -> None:
    succession = Succession.open(cluster)
    with cluster.acting(succession.lost):
        request = goals.GoalRequest(description=PROSE, repository="/srv/r.git")
        goal = goals.create_goal(request, now=cluster.now)
        Task.objects.filter(id=goal.id).update(
            assigned_node=succession.lost.node_id, assigned_agent="planner", attempt=1
        )
        Attempt.objects.create(
            task_id=goal.id,
            assigner_node_id=succession.lost.node_id,
            title="t",
            number=1,
            generation=1,
            planning=True,
            repository="/srv/r.git",
            base_commit=BASE,
            branch="task/1",
            created_at=cluster.now,
        )
        publish_task(Task.objects.get(id=goal.id), cluster.now)
    swarm = succession.swarm
    swarm.talk()
    succession.cut()
    succession.succeed()

    with cluster.acting(succession.heir):
        adopted = Task.objects.get(id=goal.id)
        assert (adopted.status, adopted.attempt, adopted.assigned_agent) == ("planning", 1, "")
        assert adopted.instructions == "Make the thing nicer."
        assert Job.objects.filter(kind="prepare_goal", status="queued", key=goal.id.hex).exists()
    succession.come_back()
    assert succession.open_runs()["lost"] == []
    with cluster.acting(succession.lost):
        queued = Job.objects.filter(status=JobStatus.QUEUED)
        assert list(queued) == []
        left = Job.objects.get(kind="prepare_goal")
        assert (left.status, left.error) == ("done", "left to another emperor")


@pytest.mark.parametrize("known", [0, 1])
def test_a_plan_that_is_not_known_whole_waits_for_the_rest_and_is_then_given_up(
    cluster: Cluster, known: int
) -> None:
    succession = Succession.open(cluster)
    goal = succession.swarm.goal(2)
    succession.swarm.talk()
    with cluster.acting(succession.heir):
        TaskCopy.objects.filter(parent_id=goal.id, number__gt=known).delete()
    succession.cut()
    succession.succeed()
    assert succession.tasks(goal) == []

    cluster.now += PLAN_WAIT + timedelta(seconds=1)
    assert succession.adopt() == 1 + known

    with cluster.acting(succession.heir):
        adopted = Task.objects.get(id=goal.id)
    if known:
        assert adopted.status == TaskStatus.FAILED
        assert adopted.error == "of 2 subtasks of its plan 1 are known: submit it anew"
        assert [task.status for task in succession.tasks(goal)] == ["cancelled"]
    else:
        assert adopted.status == TaskStatus.PLANNING


def test_a_plan_whose_rest_comes_in_time_is_adopted_whole(cluster: Cluster) -> None:
    succession = Succession.open(cluster)
    goal = succession.swarm.goal(2)
    succession.swarm.talk()
    with cluster.acting(succession.heir):
        [late] = TaskCopy.objects.filter(parent_id=goal.id, number=2)
        TaskCopy.objects.filter(id=late.id).delete()
    succession.cut()
    succession.succeed()
    with cluster.acting(succession.heir):
        late.save(force_insert=True)

    assert succession.adopt() == 3
    assert [task.status for task in succession.tasks(goal)] == ["pending", "pending"]
    assert succession.adopt() == 0


DRAFT = {
    "notes": "Names are lower case.",
    "by": "operator",
    "subtasks": [{"id": "a", "title": "First", "instructions": "Do it."}],
}


@pytest.mark.parametrize(
    ("draft", "kept"),
    [
        (DRAFT, DRAFT),
        ({**DRAFT, "subtasks": [{"id": "a"}]}, None),
        ({**DRAFT, "subtasks": []}, None),
        ({**DRAFT, "notes": 7}, None),
        (None, None),
    ],
)
def test_a_plan_that_waits_for_approval_waits_at_the_new_emperor(
    cluster: Cluster, draft: object, kept: object
) -> None:
    succession = Succession.open(cluster, "third")
    with cluster.acting(succession.lost):
        request = goals.GoalRequest(description=PROSE, repository="/srv/remote.git")
        goal = goals.create_goal(request, now=cluster.now)
        Task.objects.filter(id=goal.id).update(base_commit=BASE, plan_draft=draft)
        body = task_body(Task.objects.get(id=goal.id))

    assert task_columns(body)["plan_draft"] == kept
