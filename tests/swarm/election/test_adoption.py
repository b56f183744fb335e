"""What the emperor before left: adopted whole, once, and by nobody who is not in office."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import msgspec
import pytest

from p2p.models import OutboxMessage
from p2p.models import Record as StoredRecord
from p2p.record_rows import record_in
from swarm.election.adoption import ADOPTION_GAP, TASKS_AT_ONCE, adopt_tasks
from swarm.election.releasing import release_tasks
from swarm.models import Job, Task, TaskCopy, TaskEvent
from swarm.queries import task_counts
from swarm.replication import terms
from swarm.replication.bodies import task_body
from swarm.replication.messages import TaskBody, TaskRecord
from swarm.replication.restoring import task_columns
from swarm.services import goals, jobs
from swarm.services.reports import lease_end
from swarm.states import TaskStatus
from tests.support.cluster import Cluster
from tests.support.successions import Succession
from tests.support.swarm_of_three import CHAIN
from tests.support.trading import judge

PROSE = "# Tidy up\n\nMake the thing nicer."


def test_every_field_of_a_record_comes_back_as_it_was(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "third")
    goal = succession.swarm.goal(1, CHAIN)
    with cluster.acting(succession.lost):
        Task.objects.filter(parent_id=goal.id, number=1).update(
            description="d",
            acceptance_criteria="it works",
            complexity="large",
            time_limit_s=60,
            token_limit=5,
            cost_limit_micros=7,
            on_budget="ask",
            tokens_used=3,
            cost_used_micros=2,
            over_budget="3 of 2",
            priority=-4,
            required_capabilities=["python"],
            base_red=True,
            test_command="make test",
            test_source="repository",
            test_settings={"timeout_s": 5},
            auto_merge=True,
            notes="n",
            plan_approval="approve",
            question="Which?",
            choices=["a", "b"],
            question_generation=2,
            question_number=1,
            asked_at=cluster.now,
            answered_at=cluster.now,
            feedback="f",
            result="r",
            error="e",
            git_branch="task/1",
            commit="c" * 40,
            merged_commit="d" * 40,
            tribute_id=uuid4(),
            assigned_agent_id=uuid4(),
            assigned_node="a" * 32,
            assigned_agent="x",
            attempt=1,
            generation=2,
            claimed_at=cluster.now,
        )
        for task in [goal, *Task.objects.filter(parent_id=goal.id)]:
            task = Task.objects.get(id=task.id)
            body = task_body(task)
            wire = msgspec.convert(msgspec.to_builtins(body), TaskBody)
            columns = task_columns(wire)
            different = {
                name: (value, getattr(task, name))
                for name, value in columns.items()
                if value != getattr(task, name)
            }
            assert different == {}
            fields = {field.name for field in msgspec.structs.fields(TaskBody)}
            assert fields - set(columns) == {"depends_on", "history", "subtasks"}


def test_blocked_tasks_and_their_order_are_adopted(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "third")
    swarm = succession.swarm
    goal = swarm.goal(text=CHAIN)
    swarm.dispatch()
    swarm.talk()
    succession.cut()
    succession.succeed()

    first, second = succession.tasks(goal)
    assert (first.status, second.status) == ("claimed", "blocked")
    assert second.generation_floor == ADOPTION_GAP
    with cluster.acting(succession.heir):
        assert list(second.depends_on.all()) == [first]
    swarm.begin(succession.third)
    swarm.finish(succession.third)
    swarm.talk()
    with cluster.acting(succession.heir):
        judge(succession.tasks(goal)[0], TaskStatus.COMPLETED, cluster)
    assert [task.status for task in succession.tasks(goal)] == ["completed", "pending"]


def test_a_copy_of_what_this_node_holds_goes_and_changes_nothing(cluster: Cluster) -> None:
    succession = Succession.open(cluster)
    goal = succession.swarm.goal(1)
    succession.swarm.talk()
    succession.cut()
    copies = succession.copies(succession.heir)
    succession.succeed()
    with cluster.acting(succession.heir):
        for copy in copies:
            copy.save(force_insert=True)
        goals.cancel_task(goal.id, reason="no", now=cluster.now)

    assert succession.adopt() == 0
    assert succession.copies(succession.heir) == []
    assert succession.task(goal).status == TaskStatus.CANCELLED


def test_only_an_emperor_in_office_adopts(cluster: Cluster) -> None:
    succession = Succession.open(cluster)
    succession.swarm.goal(1)
    succession.swarm.talk()

    assert succession.adopt() == 0
    assert len(succession.copies(succession.heir)) == 2


def test_a_copy_that_cannot_be_read_costs_its_goal_alone(cluster: Cluster) -> None:
    succession = Succession.open(cluster)
    broken, whole = succession.swarm.goal(1), succession.swarm.goal(1)
    succession.swarm.talk()
    with cluster.acting(succession.heir):
        TaskCopy.objects.filter(id=broken.id).update(body={"id": "nonsense"})
        odd = TaskCopy.objects.get(parent_id=whole.id)
        odd.body = {**odd.body, "attempt": 9, "archived_at": odd.body["created_at"]}
        odd.save()
    succession.cut()
    succession.succeed()

    task = succession.task(whole)
    assert (task.attempt, task.attempts_max, task.archived_at) == (9, 9, None)
    assert succession.tasks(broken) == []
    assert len(succession.copies(succession.heir)) == 2


def test_many_goals_are_adopted_some_at_a_time_and_those_that_are_over_last(
    cluster: Cluster,
) -> None:
    succession = Succession.open(cluster)
    goal = succession.swarm.goal(1)
    succession.swarm.talk()
    with cluster.acting(succession.heir):
        like = TaskCopy.objects.get(id=goal.id)
        TaskCopy.objects.all().delete()
        for number in range(TASKS_AT_ONCE + 2):
            ended_id = UUID(int=number + 1)
            status = "completed" if number <= TASKS_AT_ONCE else "planning"
            body = {**like.body, "id": ended_id.hex, "status": status}
            TaskCopy.objects.create(
                id=ended_id,
                emperor_node_id=like.emperor_node_id,
                term=like.term,
                status=status,
                body=body,
                created_at=like.created_at,
                updated_at=like.updated_at,
            )
        terms.take_office(cluster.now)
        assert adopt_tasks(cluster.now) == TASKS_AT_ONCE
        assert Task.objects.filter(status=TaskStatus.PLANNING).count() == 1
        assert [adopt_tasks(cluster.now) for _ in range(2)] == [2, 0]


def test_the_history_goes_on_and_nothing_of_it_is_told_twice(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "third")
    swarm = succession.swarm
    goal = swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    cluster.now += timedelta(seconds=1)
    succession.cut()
    succession.succeed()
    cluster.now += timedelta(seconds=1)
    succession.come_back()
    cluster.now += timedelta(seconds=1)
    with cluster.acting(succession.heir):
        terms.leave_office(cluster.now)
        release_tasks(cluster.now)
    with cluster.acting(succession.lost):
        terms.take_office(cluster.now)
        adopt_tasks(cluster.now)
        [task] = Task.objects.filter(parent_id=goal.id)
        reasons = [event.reason for event in TaskEvent.objects.filter(task_id=task.id)]
    lost, heir = succession.lost.node_id[:8], succession.heir.node_id[:8]
    assert reasons == [
        "planned",
        f"third-agent at {succession.third.node_id[:8]} is free",
        f"taken over from {lost}, term 2",
        f"taken over from {heir}, term 3",
    ]
    assert task.created_by == succession.lost.node_id


def test_a_released_row_shows_nowhere_and_its_record_stays(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "third")
    swarm = succession.swarm
    goal = swarm.goal(2)
    swarm.dispatch()
    with cluster.acting(succession.lost):
        before = Task.objects.count()
        terms.leave_office(cluster.now)
        assert release_tasks(cluster.now) == before == 3
        assert release_tasks(cluster.now) == 0
        assert not Task.objects.exists()
        assert set(task_counts().values()) == {0}
        released = Task.with_released.get(id=goal.id)
        assert released.released_at == cluster.now
        for copy in TaskCopy.objects.all():
            record = record_in(bytes(StoredRecord.objects.get(key=copy.id.hex).frame))
            assert isinstance(record, TaskRecord)
            assert (copy.status, copy.term) == (record.task.status, record.term.counter)
        assert TaskCopy.objects.count() == 3
        assigned = OutboxMessage.objects.get(kind="command", number=0x16)
        assert (assigned.outcome, assigned.due_at) == ("released", None)
        with pytest.raises(goals.NotFound):
            goals.get_task(goal.id)


def test_jobs_that_wait_are_closed_and_those_of_the_market_stay(cluster: Cluster) -> None:
    succession = Succession.open(cluster)
    goal = succession.swarm.goal(1)
    with cluster.acting(succession.lost):
        for kind in ("gate", "review", "open_pull_request", "admit_tribute"):
            jobs.enqueue(kind, key=goal.id.hex, lane=kind, now=cluster.now)
        terms.leave_office(cluster.now)
        release_tasks(cluster.now)
        left = dict(Job.objects.values_list("kind", "status"))
    assert {kind for kind, status in left.items() if status == "queued"} == {"admit_tribute"}


def test_leases_begin_anew_with_the_term(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "third")
    swarm = succession.swarm
    goal = swarm.goal(1)
    swarm.dispatch()
    swarm.talk()
    succession.cut()
    cluster.now += timedelta(hours=1)
    with cluster.acting(succession.heir):
        terms.take_office(cluster.now)
        adopt_tasks(cluster.now)
        assert goals.requeue_lapsed(cluster.now) == 0
        [task] = Task.objects.filter(parent_id=goal.id)
        assert task.lease_expires_at == lease_end(cluster.now)
        cluster.now = lease_end(cluster.now) + timedelta(seconds=1)
        assert goals.requeue_lapsed(cluster.now) == 1


def test_a_swarm_of_one_adopts_nothing_and_asks_nothing(cluster: Cluster) -> None:
    alone = cluster.add("alone")
    with cluster.acting(alone):
        assert adopt_tasks(cluster.now) == 0
        assert terms.is_emperor()
