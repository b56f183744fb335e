"""Goals without an outline: given to a planner, left whole by its failure, ended with the goal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from p2p.protocol.errors import DomainError
from swarm.models import Agent, Attempt, Task, TaskEvent
from swarm.outline import parse_goal, shell_of
from swarm.plan import PlannedSubtask
from swarm.services import attempts, goals
from swarm.services.planned_goals import NO_PLANNER, note_prepared
from swarm.services.planning import accept_plan, dispatch_planning
from swarm.states import AttemptStatus, TaskStatus
from tests.support.factories import make_agent

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
BASE = "b" * 40


def a_goal(description: str = "Make it faster.\n\nReally.") -> Task:
    """A prepared goal without an outline."""
    request = goals.GoalRequest(description=description, repository="/srv/remote.git")
    goal = goals.create_goal(request, now=NOW)
    note_prepared(goal.id, base_branch="main", base_commit=BASE, now=NOW)
    return goal


def planned(number: int, *after: str) -> PlannedSubtask:
    """A subtask of a plan."""
    return PlannedSubtask(
        id=f"s{number}", title=f"Part {number}", instructions="Do it.", depends_on=list(after)
    )


def test_a_goal_without_a_planner_says_so_once_and_stays_whole() -> None:
    goal = a_goal()
    assert [dispatch_planning(NOW) for _ in range(3)] == [0, 0, 0]
    goal.refresh_from_db()
    assert (goal.title, goal.status, goal.progress) == ("Make it faster.", "planning", NO_PLANNER)
    assert TaskEvent.objects.filter(task=goal, reason=NO_PLANNER).count() == 1


def test_a_goal_is_not_given_before_it_is_prepared() -> None:
    goals.create_goal(
        goals.GoalRequest(description="Make it faster.", repository="/srv/remote.git"), now=NOW
    )
    make_agent("ada", capabilities=["planner"])
    assert dispatch_planning(NOW) == 0


def test_a_plan_becomes_subtasks_and_frees_its_planner() -> None:
    goal = a_goal()
    agent = make_agent("ada", capabilities=["planner"])
    assert dispatch_planning(NOW) == 1
    assert dispatch_planning(NOW) == 0
    attempt = Attempt.objects.get()
    attempts.move_attempt(attempt.id, AttemptStatus.PREPARING, now=NOW)
    created = accept_plan(attempts.get_attempt(attempt.id), [planned(1), planned(2, "s1")], now=NOW)
    goal.refresh_from_db()
    agent.refresh_from_db()
    attempt.refresh_from_db()
    assert [task.status for task in created] == ["pending", "blocked"]
    assert (goal.status, goal.base_commit, goal.progress) == ("in_progress", BASE, "")
    assert (agent.attempt, agent.status, attempt.status) == (None, "ready", "succeeded")
    assert [task.number for task in created[1].depends_on.all()] == [1]
    with pytest.raises(DomainError):
        accept_plan(attempt, [planned(1)], now=NOW)
    assert goal.subtasks.count() == 2


def test_an_ordinary_attempt_hands_in_no_plan() -> None:
    goal = a_goal()
    make_agent("ada", capabilities=["planner"])
    dispatch_planning(NOW)
    attempt = Attempt.objects.get()
    attempt.planning = False
    with pytest.raises(DomainError) as refusal:
        accept_plan(attempt, [planned(1)], now=NOW)
    assert refusal.value.code == "not_planning"
    goal.refresh_from_db()
    assert goal.status == "planning"


def test_a_planner_that_fails_leaves_the_goal_whole_three_times_at_most() -> None:
    goal = a_goal()
    make_agent("ada", capabilities=["planner"])
    for number in (1, 2, 3):
        assert dispatch_planning(NOW) == 1
        attempt = Attempt.objects.get(number=number)
        attempts.fail(attempt.id, code="no_plan", error="it ended without a plan", now=NOW)
    assert dispatch_planning(NOW) == 0
    goal.refresh_from_db()
    assert (goal.status, goal.attempt) == ("planning", 3)
    assert goal.error == (
        "planning attempt 3 failed: it ended without a plan; "
        "it was the last: plan it again, write its plan, or cancel the goal"
    )
    assert Agent.objects.get().status == "ready"


def test_a_cancelled_goal_stops_its_planner() -> None:
    goal = a_goal()
    make_agent("ada", capabilities=["planner"])
    dispatch_planning(NOW)
    goals.cancel_task(goal.id, reason="not needed", now=NOW)
    attempt = Attempt.objects.get()
    assert (attempt.status, attempt.error) == ("cancelled", "not needed")
    assert Task.objects.get(id=goal.id).status == TaskStatus.CANCELLED


def test_prose_is_a_goal_and_its_first_line_the_title() -> None:
    outline = parse_goal("\n\nMake   it faster.\nReally.")
    assert (outline.title, outline.items) == ("Make it faster.", [])
    assert parse_goal("# Title\n\nText").title == "Title"
    assert len(parse_goal("x" * 500).title) == 200
    with pytest.raises(DomainError, match="no item"):
        parse_goal(" \n ")


def test_a_shell_planner_runs_the_goals_block() -> None:
    assert shell_of("Text\n\n```sh\nmake plan\n```\n") == "make plan\n"
    assert shell_of("Text\n\n```python\nprint()\n```\n") == ""
