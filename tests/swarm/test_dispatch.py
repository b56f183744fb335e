"""Subtasks meet agents: who gets what, in which order, and whose report counts."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from pytest_django import DjangoAssertNumQueries

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.models import Agent, Attempt, Task
from swarm.services import attempts, dispatch, goals, reports
from swarm.services.agents import remove_agent, reserve_agents
from swarm.services.dispatch import dispatch_ready
from swarm.services.ready_queue import FIRST_LOOK, ReadyQueue
from swarm.services.supply import Supply
from swarm.services.transitions import move_task
from swarm.states import Actor, AttemptStatus, TaskStatus
from tests.swarm.planned_goals import BASE, CHAIN, NOW, a_goal, an_agent, complete, statuses

pytestmark = pytest.mark.django_db


def test_an_agent_gets_one_task_and_a_task_one_agent() -> None:
    goal = a_goal()
    an_agent("one")

    assert dispatch_ready(NOW) == 1
    assert dispatch_ready(NOW) == 0

    attempt = Attempt.objects.get()
    task = goal.subtasks.get(number=1)
    assert (attempt.task_id, attempt.branch, attempt.base_commit) == (
        task.id,
        f"task/{task.id8}",
        BASE,
    )
    assert (task.status, task.attempt, task.generation) == (TaskStatus.CLAIMED, 1, 1)
    assert task.assigned_agent == "one"


def test_a_dependant_starts_from_the_integration_branch() -> None:
    goal = a_goal()
    complete(goal, 1)
    Task.objects.filter(id=goal.id).update(integration_commit="c" * 40)
    an_agent("one")

    dispatch_ready(NOW)

    assert Attempt.objects.get().base_commit == "c" * 40


def test_capabilities_decide_who_may_have_a_task() -> None:
    needy = CHAIN.replace("- [ ] Alone\n", "- [ ] Alone\n  needs: rust\n\n")
    goal = a_goal(needy)
    an_agent("pythonist", "python")
    rusty = an_agent("rustacean", "python", "rust")
    complete(goal, 1)
    complete(goal, 2)
    complete(goal, 3)

    assert dispatch_ready(NOW) == 1

    assert Attempt.objects.get().agent == rusty


def test_a_task_without_a_shell_block_is_for_agents_that_take_prompts() -> None:
    goal = a_goal("- [ ] Just words\n")
    an_agent("shell")

    assert dispatch_ready(NOW) == 0
    assert goal.subtasks.get().required_capabilities == ["prompts"]

    prompted = an_agent("prompted", "python", tool="claude")
    assert prompted.capabilities == ["prompts", "python"]
    assert dispatch_ready(NOW) == 1
    assert Attempt.objects.get().agent == prompted


def test_priority_comes_first_and_goals_take_turns() -> None:
    slow = a_goal()
    other = a_goal(now=NOW + timedelta(seconds=1))
    urgent = a_goal(priority=5, now=NOW + timedelta(seconds=2))
    for number in range(4):
        an_agent(f"agent-{number}")

    assert dispatch_ready(NOW) == 4

    order = [attempt.task_id for attempt in Attempt.objects.order_by("created_at", "branch")]
    parents = [Task.objects.get(id=task_id).parent_id for task_id in order]
    assert sorted(map(str, parents)) == sorted(map(str, [urgent.id, urgent.id, slow.id, other.id]))


def test_tasks_that_nobody_can_do_keep_no_other_from_its_agent() -> None:
    goal = a_goal()
    needy = goal.subtasks.get(number=1)
    for _ in range(120):
        needy.pk, needy.required_capabilities = uuid4(), ["rare"]
        needy.save(force_insert=True)
    Task.objects.filter(parent=goal).exclude(required_capabilities=["rare"]).update(priority=-1)
    an_agent("a")

    assert dispatch_ready(NOW) == 1


def copies_of(task: Task, count: int, **columns: object) -> None:
    """Store so many more subtasks like this one, with other columns."""
    for name, value in columns.items():
        setattr(task, name, value)
    for _ in range(count):
        task.pk = uuid4()
        task.save(force_insert=True)


def test_a_goal_without_anybody_at_work_comes_first_however_many_tasks_are_older() -> None:
    busy = a_goal()
    copies_of(busy.subtasks.get(number=1), 3 * FIRST_LOOK)
    quiet = a_goal(now=NOW + timedelta(seconds=1))
    urgent = a_goal(now=NOW + timedelta(seconds=2), priority=1)
    queue, supply = ReadyQueue(), Supply([frozenset()], set())
    order = []
    for _ in range(6):
        task = queue.next(supply)
        assert task is not None
        order.append(task.parent_id)
        queue.given(task)
        move_task(task.id, TaskStatus.CLAIMED, by=Actor.DISPATCHER, reason="r", now=NOW)

    assert order == [urgent.id, urgent.id, busy.id, quiet.id, busy.id, quiet.id]


def test_where_nobody_is_able_a_goal_that_hires_finds_a_place() -> None:
    one, other = a_goal(), a_goal(now=NOW + timedelta(seconds=1))
    Task.objects.filter(parent__isnull=False).update(required_capabilities=["rare"])
    unable = Supply([frozenset({"python"})], set())
    hiring = Supply([frozenset({"python"})], {other.id})

    assert ReadyQueue().next(unable) is None
    first = ReadyQueue().next(hiring)
    assert first is not None and (first.parent_id, first.number) == (other.id, 1)
    able = ReadyQueue().next(Supply([frozenset({"rare"})], set()))
    assert able is not None and able.parent_id == one.id


def test_a_task_that_was_left_out_is_not_found_again() -> None:
    goal = a_goal()
    queue, supply, numbers = ReadyQueue(), Supply([frozenset()], set()), []
    while (task := queue.next(supply)) is not None:
        numbers.append(task.number)
        queue.skip(task)

    assert numbers == [1, 4]
    assert statuses(goal) == ["pending", "blocked", "blocked", "pending"]


def test_a_choice_reads_one_task_however_many_wait(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    copies_of(a_goal().subtasks.get(number=1), 200)
    supply = Supply([frozenset()], set())

    with django_assert_num_queries(4) as seen:  # needs, order, goals at work, the task
        assert ReadyQueue().next(supply) is not None

    limits = [query["sql"].rpartition("LIMIT")[2].strip() for query in seen.captured_queries]
    assert limits[1] == str(FIRST_LOOK)


def test_waiting_tasks_cost_nothing_while_nobody_is_free(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    a_goal()

    with django_assert_max_num_queries(2):
        assert dispatch_ready(NOW) == 0


def test_a_task_that_fails_by_a_bug_keeps_no_other_from_its_agent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad, good = a_goal(priority=1), a_goal()
    an_agent("a")
    give = dispatch._give

    def fails(task: Task, now: datetime) -> bool:
        if task.parent_id == bad.id:
            raise RuntimeError("a bug")
        return give(task, now)

    monkeypatch.setattr(dispatch, "_give", fails)

    assert dispatch_ready(NOW) == 1
    assert statuses(good).count("claimed") == 1


def test_reserved_agents_take_no_other_work() -> None:
    a_goal()
    an_agent("one")
    reserve_agents(1, reserved_for="tribute:x", until=NOW + timedelta(seconds=60), now=NOW)

    assert dispatch_ready(NOW) == 0
    assert dispatch_ready(NOW + timedelta(seconds=61)) == 1


def test_a_lapsed_lease_requeues_and_its_late_report_is_refused() -> None:
    goal = a_goal()
    an_agent("one")
    dispatch_ready(NOW)
    task = goal.subtasks.get(number=1)
    later = reports.lease_end(NOW) + timedelta(seconds=1)

    assert goals.requeue_lapsed(later) == 1

    task.refresh_from_db()
    assert (task.status, task.attempt) == (TaskStatus.PENDING, 1)
    assert Attempt.objects.get().status == AttemptStatus.CANCELLED
    dispatch_ready(later)
    with pytest.raises(DomainError) as refused:
        reports.apply_completion(
            task.id,
            generation=1,
            from_node_id=local_node().node_id,
            branch=f"task/{task.id8}",
            commit="d" * 40,
            result="",
            now=later,
        )
    assert refused.value.code == "stale_generation"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"from_node_id": "f" * 32}, "not_assigned"),
        ({"branch": "task/other"}, "wrong_branch"),
        ({"generation": 7}, "stale_generation"),
    ],
)
def test_a_report_of_another_is_refused(changed: dict[str, object], code: str) -> None:
    goal = a_goal()
    an_agent("one")
    dispatch_ready(NOW)
    task = goal.subtasks.get(number=1)
    report = {
        "generation": 1,
        "from_node_id": local_node().node_id,
        "branch": f"task/{task.id8}",
        "commit": "d" * 40,
        "result": "",
        **changed,
    }

    with pytest.raises(DomainError) as refused:
        reports.apply_completion(task.id, **report, now=NOW)  # type: ignore[arg-type]

    assert refused.value.code == code
    task.refresh_from_db()
    assert (task.status, task.commit) == (TaskStatus.CLAIMED, "")


def test_a_failed_run_is_tried_three_times_with_its_feedback() -> None:
    goal = a_goal()
    an_agent("one")
    task = goal.subtasks.get(number=1)

    for number in (1, 2, 3):
        dispatch_ready(NOW)
        attempt = Attempt.objects.get(task_id=task.id, number=number)
        assert attempt.feedback == ("" if number == 1 else f"boom {number - 1}")
        attempts.fail(attempt.id, code="exit_code", error=f"boom {number}", now=NOW)

    task.refresh_from_db()
    assert (task.status, task.attempt) == (TaskStatus.FAILED, 3)
    assert "boom 3" in task.error


def test_a_busy_agent_cannot_be_removed() -> None:
    a_goal()
    agent = an_agent("one")
    dispatch_ready(NOW)

    with pytest.raises(DomainError, match="has work"):
        remove_agent(agent.id, now=NOW)

    assert Agent.objects.filter(id=agent.id).exists()
