"""What the dashboard shows of one task or agent, what waits for a person, and each button there."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from p2p.clock import now_utc
from swarm.agents.models import Delivery, DeliveryKind
from swarm.models import Agent, Task, TaskCopy
from swarm.states import TaskStatus
from tests.support.factories import make_agent, make_attempt, make_task
from tests.support.seeded_agents import MEMBER
from tests.support.seeded_node import seed_node
from tests.support.web_clients import operator_client

NOBODY = "12345678-9abc-4def-8123-456789abcdef"
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def client(db: None) -> Client:
    return operator_client()


def _text(response: Any) -> str:
    assert response.status_code == 200, response.content
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def _saved(response: Any) -> dict[str, Any]:
    assert response.status_code == 204, response.content
    detail: dict[str, Any] = json.loads(response.headers["HX-Trigger"])["voidlux:saved"]
    return detail


def _asking_task() -> Task:
    goal = make_task("Goal", TaskStatus.IN_PROGRESS)
    return make_task(
        "Choose",
        TaskStatus.WAITING_INPUT,
        parent=goal,
        number=1,
        attempt=1,
        generation=1,
        question="Left or right?",
        choices=["left", "right"],
        question_number=1,
        question_generation=1,
        asked_at=now_utc(),
        assigned_node="b0" * 16,
        assigned_agent="fay",
    )


@pytest.mark.parametrize(
    "path",
    [
        *(f"/tasks/{NOBODY}{rest}" for rest in ("", "/facts")),
        *(f"/agents/{NOBODY}{rest}" for rest in ("", "/facts")),
    ],
)
def test_a_stranger_sees_nothing(db: None, path: str) -> None:
    assert Client().get(path).headers["Location"] == "/login"


@pytest.mark.parametrize(
    "path",
    [
        *(f"/tasks/{NOBODY}/{verb}" for verb in ("answer", "requeue", "archive")),
        *(f"/agents/{NOBODY}/{verb}" for verb in ("send", "choose", "interrupt", "restart")),
        *(f"/agents/{NOBODY}/resume", f"/deliveries/{NOBODY}/retry"),
    ],
)
def test_a_button_for_what_is_gone_is_a_notice(client: Client, path: str) -> None:
    assert Client().post(path).headers["Location"] == "/login"
    response = client.post(path, {"text": "hello", "choice": "yes", "dialog": "trust"})

    assert response.status_code == 404
    assert response.headers["HX-Retarget"] == "#notice"


def test_the_list_shows_all_that_waits_for_a_person(client: Client) -> None:
    seed_node(now_utc())
    agent = Agent.objects.get(name="home-3")
    agent.deliveries.update(stalled_at=now_utc(), tries=5)

    text = _text(client.get("/parts/attention"))

    for piece in (
        *("Needs you 8", "Which one do the greetings use?", "1420 MHz, the hydrogen line"),
        *("about Choose the carrier frequency of Send greetings by radio", "home-5 @ this node"),
        *("Over budget", "204,000 tokens of 200,000 are used", "Allow as much again", "Stop it"),
        *("May the tool do this?", "Allow it once", "Refuse", "Look at the terminal"),
        *("does not arrive", "the agent is starting (5 tries)", "Try again"),
        *("ended 5 times in a row", "Restart"),
    ):
        assert piece in text, piece
    assert _text(client.get("/parts/waiting")).strip() == "8 need you"


def test_without_anything_to_do_there_is_no_list(client: Client) -> None:
    make_agent("a-1")

    assert _text(client.get("/parts/attention")).strip() == ""
    assert _text(client.get("/parts/waiting")).strip() == ""


def test_a_question_is_answered_with_a_choice_or_a_text_once(client: Client) -> None:
    task = _asking_task()

    empty = client.post(f"/tasks/{task.id}/answer", {"text": " "})
    saved = _saved(client.post(f"/tasks/{task.id}/answer", {"choice": "left", "text": ""}))
    late = client.post(f"/tasks/{task.id}/answer", {"text": "right"})

    task.refresh_from_db()
    assert (task.answer, saved["stay"]) == ("left", True)
    assert {"attention", "waiting", "task-facts"} <= set(saved["parts"])
    assert (empty.status_code, late.status_code) == (422, 409)
    assert b"already_answered" in late.content
    assert _text(client.get("/parts/attention")).strip() == ""


def test_a_task_shows_history_attempts_usage_and_question(client: Client) -> None:
    seed_node(now_utc())
    task = Task.objects.get(title="Choose the carrier frequency")
    budget = Task.objects.get(title="Listen for an echo")
    task.events.filter(target="claimed").update(evidence={"commits": [1, {"a": "b"}]})

    text = _text(client.get(f"/tasks/{task.id}"))

    for piece in (
        *("blocked → pending by dependency", "every prerequisite is merged"),
        *("in progress → waiting for input by report", "commits [1, {&quot;a&quot;: &quot;b&quot"),
        *("Attempts on this node", "home-5 working", "48,200 tokens", "$0.41"),
        *("1 of 3", "1665 MHz", "Requeue", "Cancel"),
    ):
        assert piece in text, piece
    assert "204,000 of 200,000" in _text(client.get(f"/tasks/{budget.id}/facts"))


def test_a_task_of_another_emperor_is_marked_and_cannot_be_touched(client: Client) -> None:
    seed_node(now_utc())
    goal = TaskCopy.objects.get(parent_id__isnull=True)

    listed = _text(client.get("/parts/tasks"))
    shown = _text(client.get(f"/tasks/{goal.id}"))

    assert "Of another emperor Keep the log of all greetings" in listed
    assert "1 of 2 subtasks merged" in listed and "line 3 of 9" in listed
    for text in (listed, shown):
        assert f"of emperor {MEMBER[:8]}" in text
    assert "Another emperor moves this task" in shown and "Cancel" not in shown
    assert client.post(f"/tasks/{goal.id}/cancel").status_code in (404, 409)


def test_agents_of_members_are_listed_apart_without_buttons(client: Client) -> None:
    seed_node(now_utc())

    text = _text(client.get("/parts/agents"))

    own, _, others = text.partition("Of other members")
    assert "cygnus-1" not in own and "Terminal" in own
    assert f"cygnus-1 claude at {MEMBER[:8]} working Tune the receiver" in others
    assert "Terminal" not in others and "Remove" not in others
    assert "paused, 46:" in own or "paused, 47:" in own


def test_an_agent_shows_evidence_with_source_rule_and_age(client: Client) -> None:
    now = now_utc()
    seed_node(now)
    agent = Agent.objects.get(name="home-6")
    Delivery.objects.create(
        agent=agent, kind=DeliveryKind.SEND, text="Use apt.", reason="a dialog", queued_at=now
    )

    text = _text(client.get(f"/agents/{agent.id}"))

    for piece in (
        *("blocked Would you like to run pip?", "screen / permission", "1 min ago"),
        *("May the tool do this?", "Allow it from now on", "silence nothing read"),
        *("Would change it: an answer to the dialog", "Use apt.", "Interrupt", "Deregister"),
        "No session now",
    ):
        assert piece in text, piece


def test_what_an_agent_or_a_task_says_is_escaped(client: Client) -> None:
    task = make_task(EVIL, TaskStatus.WAITING_INPUT, question=EVIL, choices=[EVIL], error=EVIL)
    task.events.update(reason=EVIL, evidence={EVIL: EVIL})
    dialog = {"name": "d", "asks": EVIL, "choices": [{"name": EVIL, "label": EVIL}]}
    agent = make_agent("a-1", evidence=EVIL, model=EVIL, dialog=dialog)
    make_attempt(task, agent, output_tail=EVIL, summary=EVIL, progress=EVIL, error=EVIL)
    Agent.objects.update(status="blocked", paused_reason=EVIL)

    for path in (f"/tasks/{task.id}", f"/agents/{agent.id}", "/parts/attention", "/parts/agents"):
        html = client.get(path).content.decode()
        assert "<script>" not in html
        assert "&lt;script&gt;" in html


def test_a_text_is_queued_and_a_tool_that_takes_none_refuses(client: Client) -> None:
    taking, refusing = make_agent("a-1", tool="claude"), make_agent("a-2")

    saved = _saved(client.post(f"/agents/{taking.id}/send", {"text": "Go on."}))
    refused = client.post(f"/agents/{refusing.id}/send", {"text": "Go on."})

    assert saved["message"] == "The text for a-1 is queued"
    assert [(each.agent_id, each.text) for each in Delivery.objects.all()] == [
        (taking.id, "Go on.")
    ]
    assert refused.status_code == 422 and b"no_prompt" in refused.content


def test_a_stalled_text_is_tried_again(client: Client) -> None:
    now = now_utc()
    delivery = Delivery.objects.create(
        agent=make_agent("a-1"),
        kind=DeliveryKind.SEND,
        text="hello",
        queued_at=now,
        stalled_at=now,
        tries=5,
    )

    _saved(client.post(f"/deliveries/{delivery.id}/retry"))
    again = client.post(f"/deliveries/{delivery.id}/retry")

    delivery.refresh_from_db()
    assert (delivery.tries, delivery.stalled_at) == (0, None)
    assert again.status_code == 409


def test_an_exited_agent_is_restarted_and_a_paused_one_resumed(client: Client) -> None:
    later = now_utc() + timedelta(hours=1)
    agent = make_agent("a-1", status="exited", crashes=5, paused_until=later)

    _saved(client.post(f"/agents/{agent.id}/restart"))
    _saved(client.post(f"/agents/{agent.id}/resume"))

    agent.refresh_from_db()
    assert (agent.status, agent.crashes, agent.paused_until) == ("starting", 0, None)


def test_an_agent_is_paused_for_the_hours_that_are_offered(client: Client) -> None:
    agent = make_agent("a-1")
    before = now_utc()

    refused = client.post(f"/agents/{agent.id}/pause", {"hours": "9000"})
    _saved(client.post(f"/agents/{agent.id}/pause", {"hours": "24"}))

    agent.refresh_from_db()
    assert refused.status_code == 422 and b"bad_pause" in refused.content
    assert agent.paused_until is not None
    assert timedelta(hours=24) <= agent.paused_until - before < timedelta(hours=25)
    assert agent.paused_reason == "by the operator"


def test_a_held_task_is_requeued_and_only_what_has_ended_is_archived(client: Client) -> None:
    task = _asking_task()

    _saved(client.post(f"/tasks/{task.id}/requeue"))
    refused = client.post(f"/tasks/{task.parent_id}/archive")
    Task.objects.update(status=TaskStatus.CANCELLED)
    _saved(client.post(f"/tasks/{task.parent_id}/archive"))

    task.refresh_from_db()
    assert task.events.last().reason == "archived"  # type: ignore[union-attr]
    assert task.events.filter(reason="queued anew on the dashboard").count() == 1
    assert refused.status_code == 409
    assert Task.objects.filter(archived_at__isnull=True).count() == 0


def test_several_agents_are_registered_or_none(client: Client) -> None:
    fields = {"name": "vega", "tool": "claude", "model": "opus", "capabilities": "radio"}

    saved = _saved(client.post("/agents/new", {**fields, "count": 3}))
    refused = client.post("/agents/new", {**fields, "count": 48})
    unknown = client.post("/agents/new", {**fields, "tool": "no-such-tool"})

    assert saved["message"] == "3 agents are registered"
    assert [(each.name, each.tool, each.model) for each in Agent.objects.all()] == [
        (f"vega-{number}", "claude", "opus") for number in (1, 2, 3)
    ]
    assert refused.status_code == 422 and b"50 agents, the maximum" in refused.content
    assert unknown.status_code == 422
