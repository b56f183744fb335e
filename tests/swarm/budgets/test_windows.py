"""Exhausted usage windows: noted once, waited for, not counted as work, and gone on after."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from p2p import outbox
from p2p.local import LocalNode, acting_as, local_node
from swarm.agents.models import Delivery, DeliveryKind
from swarm.budgets.enforcement import worked_s
from swarm.budgets.pauses import end_pauses, pause_agent
from swarm.budgets.windows import end_windows, forget_window, note_window
from swarm.models import Agent, Attempt, Task, TaskEvent
from swarm.queries import idle_agents
from swarm.replication.bodies import agent_body
from swarm.services.deliveries import queue_delivery
from swarm.states import AgentStatus, DeliveryStatus, TaskStatus
from tests.support.factories import NOW, make_agent, make_attempt, make_task
from tests.support.fake_tool import FakeTool

pytestmark = pytest.mark.django_db

UNTIL = NOW + timedelta(hours=2)
SOON = NOW + timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _tools(tmp_path: Path) -> object:
    """A home in which the fake CLI is a tool."""
    FakeTool(tmp_path / "fake").install(tmp_path / "home")
    node = local_node()
    with acting_as(LocalNode(tmp_path / "home", node.identity, node.network, node.swarm)):
        yield


def a_run() -> tuple[Task, Attempt, Agent]:
    """A subtask at work with an agent of the fake CLI."""
    goal = make_task("Goal", TaskStatus.IN_PROGRESS)
    task = make_task(
        "Part",
        TaskStatus.IN_PROGRESS,
        parent=goal,
        number=1,
        attempt=1,
        generation=1,
        assigned_node=local_node().node_id,
        lease_expires_at=UNTIL,
    )
    agent = make_agent("ada", tool="fake")
    attempt = make_attempt(task, agent, typed_at=NOW)
    Agent.objects.filter(id=agent.id).update(attempt=attempt, status=AgentStatus.WORKING)
    Attempt.objects.filter(id=attempt.id).update(status="working")
    return task, attempt, agent


def noted(attempt: Attempt, *, key: str = "used up", until: datetime = UNTIL) -> bool:
    return note_window(
        attempt.id, rule="allowance", key=key, shown="used up", until=until, now=SOON
    )


def test_a_window_is_noted_once_and_pauses_its_agent() -> None:
    task, attempt, agent = a_run()

    assert [noted(attempt), noted(attempt), noted(attempt)] == [True, False, False]

    agent.refresh_from_db()
    assert (agent.paused_until, agent.paused_reason) == (UNTIL, "fake says: used up")
    event = TaskEvent.objects.filter(task=task).last()
    assert event is not None
    assert (event.source, event.target, event.by) == ("in_progress", "in_progress", "budget")
    assert event.reason == (
        f"the usage window of ada is exhausted until {UNTIL:%Y-%m-%d %H:%M:%S} UTC: used up"
    )


def test_a_longer_pause_of_the_operator_stays() -> None:
    _, attempt, agent = a_run()
    later = UNTIL + timedelta(days=1)
    pause_agent(agent.id, until=later, reason="holidays", now=NOW)

    noted(attempt)

    agent.refresh_from_db()
    assert (agent.paused_until, agent.paused_reason) == (later, "holidays")


def test_a_run_that_has_ended_notes_nothing() -> None:
    _, attempt, agent = a_run()
    Attempt.objects.filter(id=attempt.id).update(status="failed", ended_at=NOW)

    assert noted(attempt) is False

    agent.refresh_from_db()
    assert agent.paused_until is None


def test_the_same_words_tell_of_a_new_window_after_work() -> None:
    _, attempt, _ = a_run()
    noted(attempt)

    forget_window(attempt.id, now=SOON)

    assert noted(attempt) is True


def test_waiting_for_a_window_is_no_work() -> None:
    _, attempt, _ = a_run()
    noted(attempt)
    attempt.refresh_from_db()
    assert worked_s(attempt, UNTIL) == 60.0

    assert end_windows(UNTIL) == 1

    attempt.refresh_from_db()
    assert worked_s(attempt, UNTIL + timedelta(seconds=5)) == 65.0
    assert (attempt.window_until, attempt.window_key) == (None, "used up")


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        (DeliveryStatus.ACKNOWLEDGED, ["Go on."]),
        (DeliveryStatus.TYPED, ["Go on."]),
        (DeliveryStatus.QUEUED, []),
    ],
)
def test_the_tool_is_told_to_go_on_once_where_it_had_begun(
    prompt: DeliveryStatus, texts: list[str]
) -> None:
    _, attempt, agent = a_run()
    queue_delivery(agent, DeliveryKind.PROMPT, "do it", NOW, attempt=attempt)
    Delivery.objects.update(status=prompt)
    noted(attempt)

    counts = [end_windows(UNTIL - timedelta(seconds=1)), end_windows(UNTIL), end_windows(UNTIL)]

    assert counts == [0, 1, 0]
    sent = Delivery.objects.filter(kind=DeliveryKind.SEND)
    assert list(sent.values_list("text", flat=True)) == texts


def test_a_pause_ends_by_itself_and_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent("ada")
    pause_agent(agent.id, until=UNTIL, reason="used up", now=NOW)
    agent.refresh_from_db()
    assert not idle_agents(SOON).exists()
    assert agent_body(agent, SOON).available is False
    told: list[str] = []
    monkeypatch.setattr(outbox, "publish_event", lambda kind, event, *_, **__: told.append(event))

    assert (end_pauses(UNTIL - timedelta(seconds=1)), told) == (0, [])
    assert (end_pauses(UNTIL), told) == (1, ["resumed"])

    agent.refresh_from_db()
    assert (agent.paused_until, agent.paused_reason) == (None, "")
    assert agent_body(agent, UNTIL).available is True
    assert idle_agents(UNTIL).exists()
