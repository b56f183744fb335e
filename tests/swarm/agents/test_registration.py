"""Agents in numbers: names, caps, crashes, and who is stuck; over the API where there is one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from msgspec.structs import replace

from p2p.clock import now_utc
from p2p.local import local_node
from swarm.agents import capacity
from swarm.agents.models import Delivery
from swarm.models import Agent, Attempt
from swarm.queries import idle_agents
from swarm.services import agents, deliveries
from swarm.states import AgentStatus, TaskStatus
from tests.support.factories import NOW, make_agent, make_attempt, make_task
from tests.support.web_clients import bearer_client, post_json

API = "/api/swarm"
pytestmark = pytest.mark.django_db


def _post(path: str, body: Any = None) -> Any:
    return post_json(bearer_client(), f"{API}{path}", body or {})


def _get(path: str) -> Any:
    return bearer_client().get(f"{API}{path}").json()


def _limit(monkeypatch: pytest.MonkeyPatch, **limits: Any) -> None:
    changed = settings.ENVIRONMENT.model_copy(update=limits)
    monkeypatch.setattr(settings, "ENVIRONMENT", changed)


def test_bulk_takes_the_lowest_free_numbers() -> None:
    make_agent("team-2")

    answer = _post(
        "/agents/bulk", {"count": 3, "prefix": "team", "tool": "claude", "model": "opus"}
    )

    made = answer.json()["items"]
    assert answer.status_code == 201
    assert [each["name"] for each in made] == ["team-1", "team-3", "team-4"]
    assert {(each["tool"], each["model"]) for each in made} == {("claude", "opus")}


def test_bulk_registers_all_or_none() -> None:
    make_agent("one")

    answer = _post("/agents/bulk", {"count": agents.AGENTS_MAX, "prefix": "team"})

    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_agents")
    assert Agent.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [({"model": "a b"}, "bad_model"), ({"tool": "nothing"}, "unknown_tool")],
)
def test_a_bad_registration_is_refused(body: dict[str, str], code: str) -> None:
    answer = _post("/agents", {"name": "a", **body})

    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert not Agent.objects.exists()


def test_a_node_at_its_number_of_tasks_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task("Part", TaskStatus.CLAIMED)
    make_agent("free")
    make_attempt(task, make_agent("busy"))
    assert [agent.name for agent in idle_agents(NOW)] == ["free"]

    _limit(monkeypatch, max_concurrent_tasks=1)

    assert list(idle_agents(NOW)) == []
    shown = _get("/status")["capacity"]
    assert shown["full_because"] == "1 tasks run, at most 1 are allowed"


@pytest.mark.parametrize(
    ("limits", "because"),
    [
        ({"load_per_core_max": 2.0}, "the load per core is 3.00, at most 2.00 is allowed"),
        ({"memory_free_mb_min": 101}, "100 MiB of memory are free, at least 101 must be"),
        ({"load_per_core_max": 3.0, "memory_free_mb_min": 100}, ""),
    ],
)
def test_load_and_memory_are_caps(
    monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any], because: str
) -> None:
    monkeypatch.setattr(capacity, "load_per_core", lambda: 3.0)
    monkeypatch.setattr(capacity, "memory_free_mb", lambda: 100)
    make_agent("free")

    _limit(monkeypatch, **limits)

    assert capacity.full_because() == because
    assert idle_agents(NOW).count() == (0 if because else 1)


def test_a_tool_at_its_number_of_tasks_leaves_the_others_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_attempt(make_task("Part", TaskStatus.CLAIMED), make_agent("c-1", tool="claude"))
    make_agent("c-2", tool="claude")
    make_agent("s-1", tool="shell")

    capped = {
        name: replace(tool, max_concurrent_tasks=1 if name == "claude" else 0)
        for name, tool in capacity.all_tools().items()
    }
    monkeypatch.setattr(capacity, "all_tools", lambda: capped)

    assert [agent.name for agent in idle_agents(NOW)] == ["s-1"]


def test_crashes_in_a_row_double_the_wait_and_the_fifth_is_for_the_operator() -> None:
    agent = make_agent("a", tool="claude")

    waits = []
    for _ in range(agents.CRASHES_MAX):
        agents.note_crash(agent.id, "it ended with 3", now=NOW)
        agent.refresh_from_db()
        waits.append(agent.restart_at and (agent.restart_at - NOW).total_seconds())

    assert waits == [2.0, 4.0, 8.0, 16.0, None]
    assert (agent.status, agent.rule) == (AgentStatus.EXITED, "crash_loop")
    assert list(idle_agents(NOW)) == []
    restarted = _post(f"/agents/{agent.id.hex}/restart").json()
    assert (restarted["status"], restarted["crashes"]) == ("starting", 0)


def test_wellness_names_who_is_stuck_and_why() -> None:
    now = now_utc()
    make_agent("well", tool="claude")
    make_agent(
        "asked",
        tool="claude",
        status="blocked",
        evidence="Trust this folder?",
        dialog={"asks": "Trust this folder?"},
    )
    make_agent("gone", tool="claude", status="exited", evidence="claude is not in PATH")
    make_agent("new", tool="claude", status="unknown", status_since=now)
    make_agent("lost", tool="claude", status="unknown", status_since=now - timedelta(minutes=2))
    silent = make_agent("silent", tool="claude")
    Delivery.objects.create(
        agent=silent, kind="send", text="hi", queued_at=now, stalled_at=now, reason="typed 3 times"
    )

    shown = _get("/agents/wellness")

    assert (shown["agents"], shown["well"]) == (6, 2)
    assert {each["name"]: each["why"] for each in shown["stuck"]} == {
        "asked": "a dialog is open: Trust this folder?",
        "gone": "claude is not in PATH",
        "lost": "nothing is known of it: the shell shows its prompt",
        "silent": "a send does not arrive: typed 3 times",
    }


def test_a_text_is_queued_cleaned_and_its_way_is_shown() -> None:
    agent = make_agent("a", tool="claude")

    sent = _post(f"/agents/{agent.id.hex}/send", {"text": "go\x1b[A on"})

    assert (sent.status_code, sent.json()["status"], sent.json()["removed_chars"]) == (
        202,
        "queued",
        3,
    )
    assert Delivery.objects.get().text == "go on"
    listed = _get(f"/agents/{agent.id.hex}/deliveries")["items"]
    assert [each["id"] for each in listed] == [sent.json()["id"]]
    again = _post(f"/deliveries/{sent.json()['id']}/retry")
    assert (again.status_code, again.json()["code"]) == (409, "not_stalled")


@pytest.mark.parametrize(
    ("tool", "text", "code"),
    [("shell", "hi", "no_prompt"), ("claude", "\x1b[A", "bad_text")],
)
def test_a_text_that_cannot_be_typed_is_refused(tool: str, text: str, code: str) -> None:
    agent = make_agent("a", tool=tool)

    refused = _post(f"/agents/{agent.id.hex}/send", {"text": text})

    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert not Delivery.objects.exists()


def test_no_more_than_twenty_texts_wait() -> None:
    agent = make_agent("a", tool="claude")
    for _ in range(deliveries.QUEUE_MAX):
        assert _post(f"/agents/{agent.id.hex}/send", {"text": "hi"}).status_code == 202

    refused = _post(f"/agents/{agent.id.hex}/send", {"text": "hi"})

    assert (refused.status_code, refused.json()["code"]) == (409, "queue_full")


def test_explain_shows_what_was_considered_with_ages_and_what_would_change_it() -> None:
    agent = make_agent("a", tool="claude")
    seen = {"source": "screen", "state": "ready", "rule": "input_box", "text": ">"}
    agents.judge_agent(
        agent.id,
        AgentStatus.READY,
        source="screen",
        rule="input_box",
        evidence=">",
        now=NOW,
        considered=[{**seen, "at": (now_utc() - timedelta(seconds=30)).isoformat()}],
    )

    shown = _get(f"/agents/{agent.id.hex}/explain")

    [considered] = shown["considered"]
    assert considered["rule"] == "input_box" and 30 <= considered["age_s"] < 90
    assert "a screen that reads otherwise" in shown["would_change"]
    assert (shown["screen"], shown["deliveries"]) == ([], [])


def test_an_older_signal_does_not_replace_a_newer_one() -> None:
    agent = make_agent("a", tool="claude")
    for state, at in (("working", NOW), ("ready", NOW - timedelta(seconds=1))):
        agents.note_signal(agent.id, source="mcp", state=AgentStatus(state), text=state, now=at)

    agent.refresh_from_db()
    assert (agent.said_state, agent.said_at) == ("working", NOW)


def test_a_forced_removal_of_an_agent_whose_task_is_gone_cancels_its_run() -> None:
    agent = make_agent("a", tool="claude")
    attempt = make_attempt(make_task("Part", TaskStatus.COMPLETED), agent)

    removed = bearer_client().delete(f"{API}/agents/{agent.id.hex}?force=true")

    assert (removed.status_code, Agent.objects.count()) == (200, 0)
    assert Attempt.objects.get(id=attempt.id).status == "cancelled"


def test_a_forced_removal_ends_the_run_with_a_report() -> None:
    goal = make_task("Goal", TaskStatus.IN_PROGRESS)
    node_id = local_node().node_id
    task = make_task("Part", TaskStatus.CLAIMED, parent=goal, attempt=1, assigned_node=node_id)
    agent = make_agent("a", tool="claude")
    attempt = make_attempt(task, agent)
    refused = bearer_client().delete(f"{API}/agents/{agent.id.hex}")

    removed = bearer_client().delete(f"{API}/agents/{agent.id.hex}?force=true")

    assert (refused.status_code, refused.json()["code"]) == (409, "agent_busy")
    assert (removed.status_code, Agent.objects.count()) == (200, 0)
    ended = Attempt.objects.get(id=attempt.id)
    assert (ended.status, ended.error) == ("failed", "the agent was removed")
    task.refresh_from_db()
    assert task.status == TaskStatus.PENDING


def test_a_look_that_began_before_a_crash_does_not_end_the_wait_after_it() -> None:
    agent = make_agent("a-1")
    agents.note_crash(agent.id, "it ended with 3", now=NOW)

    def ready(after_s: float) -> str:
        agents.judge_agent(
            agent.id,
            AgentStatus.READY,
            source="tool",
            rule="tool_installed",
            evidence="found",
            now=NOW + timedelta(seconds=after_s),
        )
        return Agent.objects.get(id=agent.id).status

    assert [ready(1.9), ready(2.0)] == [AgentStatus.EXITED, AgentStatus.READY]
