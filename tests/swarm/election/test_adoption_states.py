"""In whatever state the emperor is lost and wherever the run is: the heir brings it to its end."""

from __future__ import annotations

from itertools import product

import pytest

from swarm.models import Attempt, Task, TaskEvent
from swarm.services.answering import answer_task
from swarm.services.lifecycle import archive_task
from swarm.services.transitions import move_task
from swarm.states import Actor, AttemptStatus, TaskStatus
from tests.support.cluster import Cluster
from tests.support.successions import PLACES, Succession
from tests.support.trading import COMMIT, judge

RUNS = ("claimed", "in_progress", "waiting_input", "pending_review", "merging", "completed")
CELLS = [*product(RUNS, PLACES), *product(("pending", "cancelled", "archived"), ("third",))]


def bring_to(succession: Succession, status: str, place: str) -> Task:
    """Bring a goal's only subtask to a status under the old emperor; returns the goal."""
    swarm, node = succession.swarm, succession.at(place)
    goal = swarm.goal(1)
    swarm.talk()
    if status == "pending":
        return goal
    swarm.dispatch()
    swarm.talk()
    if status in RUNS[1:]:
        swarm.begin(node)
        swarm.talk()
    if status == "waiting_input":
        succession.ask(node, "Which one?")
    elif status in RUNS[3:]:
        swarm.finish(node)
    swarm.talk()
    with succession.cluster.acting(succession.lost):
        [task] = Task.objects.filter(parent_id=goal.id)
        now = succession.cluster.now
        if status in ("merging", "completed"):
            move_task(task.id, TaskStatus.MERGING, by=Actor.GATE, reason="shown", now=now)
        if status == "completed":
            move_task(task.id, TaskStatus.COMPLETED, by=Actor.GATE, reason="merged", now=now)
        if status in ("cancelled", "archived"):
            move_task(task.id, TaskStatus.CANCELLED, by=Actor.OPERATOR, reason="no", now=now)
        if status == "archived":
            archive_task(task.id, now=now)
    swarm.talk()
    return goal


@pytest.mark.parametrize(("status", "place"), CELLS)
def test_the_heir_goes_on_with_a_task_in_every_state_and_ends_it_once(
    cluster: Cluster, status: str, place: str
) -> None:
    succession = Succession.open(cluster, place)
    goal = bring_to(succession, status, place)
    expected = "cancelled" if status == "archived" else status
    [before] = succession.swarm.subtasks(goal)
    assert before.status == expected

    succession.cut()
    succession.succeed()

    task = succession.task(goal)
    assert (task.status, task.generation, task.attempt, task.assigned_node) == (
        *(expected, before.generation, before.attempt, before.assigned_node),
    )
    assert (task.archived_at is not None) == (status == "archived")
    assert succession.copies(succession.heir) == []
    assert succession.reasons(task)[-1].startswith(f"taken over from {before.created_by[:8]}")
    open_now = {place: len(runs) for place, runs in succession.open_runs().items() if runs}
    assert open_now == ({place: 1} if status in RUNS[:3] else {})

    succession.come_back()
    end(succession, goal, place)

    task = succession.task(goal)
    ended = "cancelled" if status in ("cancelled", "archived") else "completed"
    assert task.status == ended
    with cluster.acting(succession.heir):
        merges = TaskEvent.objects.filter(task_id=task.id, target="completed", source="merging")
        assert merges.count() == (1 if ended == "completed" else 0)
    assert [runs for runs in succession.open_runs().values() if runs] == []
    with cluster.acting(succession.at(place)):
        done = Attempt.objects.filter(status=AttemptStatus.SUCCEEDED)
        assert done.count() == (1 if ended == "completed" else 0)
    with cluster.acting(succession.lost):
        assert list(Task.objects.all()) == []
    for member in (succession.lost, succession.third):
        shown = {copy.id: copy for copy in succession.copies(member)}
        assert shown[task.id].status == ended
        assert shown[task.id].emperor_node_id == succession.heir.node_id or status == "archived"


def end(succession: Succession, goal: Task, place: str) -> None:
    """Let everything that is open go on under the heir until nothing moves any more."""
    swarm, node = succession.swarm, succession.at(place)
    for _ in range(3):
        with succession.cluster.acting(succession.heir):
            for task in Task.objects.filter(parent_id=goal.id):
                if task.status == TaskStatus.WAITING_INPUT and task.answered_at is None:
                    answer_task(task.id, text="yes", now=succession.cluster.now)
                elif task.status == TaskStatus.PENDING_REVIEW:
                    assert task.commit == COMMIT
                    judge(task, TaskStatus.COMPLETED, succession.cluster)
                elif task.status == TaskStatus.MERGING:
                    reason = "merged"
                    move_task(
                        task.id,
                        TaskStatus.COMPLETED,
                        by=Actor.GATE,
                        reason=reason,
                        now=succession.cluster.now,
                    )
        succession.dispatch()
        swarm.talk()
        swarm.begin(node)
        swarm.talk()
        swarm.finish(node)
        swarm.talk()
