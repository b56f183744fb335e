"""A ready subtask that no agent can ever take says so once, and takes it back."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from swarm import hooks
from swarm.models import RemoteAgent, Task, TaskEvent
from swarm.queries import describe_task
from swarm.services.dispatch import dispatch_ready
from swarm.services.unplaceable import note_unplaceable
from swarm.states import TaskStatus
from tests.support.factories import NOW, SELLER, make_agent, make_task
from voidlux_site.dashboard.attention import count_waiting, read_attention

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(seconds=15)
NO_PROMPTS = (
    "no agent takes prompts: register one with a tool of aider, claude, codex, gemini, opencode"
)


def a_subtask(*needs: str) -> Task:
    goal = make_task("Goal", TaskStatus.IN_PROGRESS)
    return make_task(
        "Part", TaskStatus.PENDING, parent=goal, number=1, required_capabilities=list(needs)
    )


def said(task: Task) -> tuple[str, list[str]]:
    """Return the reason as the API shows it, and those of the history."""
    task.refresh_from_db()
    told = TaskEvent.objects.filter(task=task, by="dispatcher", target="pending")
    return describe_task(task)["waiting_reason"], [event.reason for event in told]


@pytest.mark.parametrize(
    ("agents", "needs", "reason"),
    [
        ([], [], "there is no agent: register one"),
        ([], ["gpu"], "there is no agent: register one with the capabilities gpu"),
        ([], ["prompts"], NO_PROMPTS),
        ([["gpu"]], ["gpu", "prompts"], NO_PROMPTS),
        ([["prompts"]], ["prompts", "gpu"], "no agent can do gpu: register one that can"),
        ([["prompts"], ["gpu"]], ["prompts", "gpu"], "no agent can do all of gpu, prompts"),
        ([["prompts", "gpu"]], ["gpu"], ""),
    ],
)
def test_the_reason_names_what_is_missing(
    agents: list[list[str]], needs: list[str], reason: str
) -> None:
    for number, capabilities in enumerate(agents):
        make_agent(f"a-{number}", capabilities=capabilities)
    task = a_subtask(*needs)

    note_unplaceable(LATER)

    assert said(task) == (reason, [reason] if reason else [])


def test_it_is_said_once_and_not_at_once() -> None:
    task = a_subtask("prompts")

    assert [note_unplaceable(LATER - timedelta(seconds=1)), note_unplaceable(LATER)] == [0, 1]
    assert note_unplaceable(LATER + timedelta(seconds=1)) == 0

    assert said(task) == (NO_PROMPTS, [NO_PROMPTS])
    assert (count_waiting(), read_attention(LATER).unplaceable) == (1, [task])


def test_a_busy_or_paused_agent_is_somebody() -> None:
    make_agent("ada", capabilities=["prompts"], status="exited", paused_until=LATER)
    task = a_subtask("prompts")

    assert note_unplaceable(LATER) == 0

    assert said(task) == ("", [])


def test_an_agent_of_a_member_is_somebody() -> None:
    RemoteAgent.objects.create(
        id=uuid.uuid4(),
        node_id=SELLER,
        name="bob",
        capabilities=["prompts"],
        status_since=NOW,
        available=False,
        body={},
    )
    a_subtask("prompts")

    assert note_unplaceable(LATER) == 0


def test_a_goal_that_hires_waits_for_its_sellers(monkeypatch: pytest.MonkeyPatch) -> None:
    task = a_subtask("prompts")
    source = hooks.HireSource(lambda: {task.parent_id}, lambda task, now: None)  # type: ignore[arg-type]
    monkeypatch.setattr(hooks, "hire_sources", [source])

    assert note_unplaceable(LATER) == 0


def test_the_first_agent_that_can_takes_the_reason_away() -> None:
    task = a_subtask("prompts")
    note_unplaceable(LATER)
    make_agent("ada", capabilities=["prompts"], status="working")

    assert note_unplaceable(LATER) == 1

    assert said(task) == ("", [NO_PROMPTS])
    assert count_waiting() == 0


def test_a_dispatch_takes_the_reason_away() -> None:
    task = a_subtask()
    note_unplaceable(LATER)
    make_agent("ada", status="ready")

    assert dispatch_ready(LATER) == 1

    task.refresh_from_db()
    assert (task.status, task.waiting_reason) == ("claimed", "")
