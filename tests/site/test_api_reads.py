from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from p2p.clock import now_utc
from p2p.local import local_node
from swarm.models import Task
from swarm.states import TaskStatus
from tests.support.factories import (
    NOW,
    SELLER,
    make_agent,
    make_attempt,
    make_entry,
    make_node,
    make_offering,
    make_task,
    make_tribute,
)
from tests.support.seeded_node import seed_goals, seed_node
from tests.support.web_clients import bearer_client
from voidlux_site.version import VERSION

API = "/api/swarm"


def _get(path: str) -> Any:
    response = bearer_client().get(f"{API}{path}")
    assert response.status_code == 200, response.content
    return response.json()


def _titles(path: str) -> list[str]:
    return [item["title"] for item in _get(path)["items"]]


def test_status_sums_the_node_up(db: None) -> None:
    seed_node(now_utc())

    status = _get("/status")

    assert status["node_id"] == local_node().node_id
    assert (status["swarm"], status["network"], status["role"]) == ("home", "galaxy", "emperor")
    assert status["version"] == VERSION
    assert status["tasks"]["in_progress"] == 7
    assert status["agents"] == {"total": 8, "ready": 1}
    assert status["peers"] == 2
    assert status["wallet"] == {
        "balance": 998,
        "held": 2,
        "available": 996,
        "overdrawn": 0,
        "currency": "VOID",
    }
    assert (status["selling"], status["troubled_jobs"]) == (True, 1)
    assert status["uptime_s"] >= 0


def test_the_version_is_that_of_the_project_file() -> None:
    text = (settings.BASE_DIR / "pyproject.toml").read_text()

    assert f'version = "{VERSION}"' in text


def test_tasks_are_listed_newest_first_and_filtered(db: None) -> None:
    goal = make_task("goal", TaskStatus.IN_PROGRESS, now=NOW)
    make_task("sub", TaskStatus.PENDING, now=NOW + timedelta(seconds=1), parent=goal, number=1)

    assert _titles("/tasks") == ["sub", "goal"]
    assert _titles("/tasks?status=pending") == ["sub"]
    assert _titles("/tasks?parent=none") == ["goal"]
    assert _titles(f"/tasks?parent={goal.id.hex}") == ["sub"]
    assert _titles(f"/tasks?parent={goal.id}") == ["sub"]
    assert bearer_client().get(f"{API}/tasks?parent={uuid.uuid4()}").status_code == 404
    assert bearer_client().get(f"{API}/tasks?status=lost").status_code == 422


def test_pages_hold_every_row_once_although_times_are_equal(db: None) -> None:
    for number in range(7):
        make_task(f"t{number}", TaskStatus.PENDING, now=NOW)
    seen, cursor = [], ""

    while True:
        page = _get(f"/tasks?limit=3&cursor={cursor}")
        seen += [item["title"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
        make_task("late", TaskStatus.PENDING, now=NOW + timedelta(hours=1))

    assert sorted(seen) == [f"t{number}" for number in range(7)]


@pytest.mark.parametrize(("limit", "allowed"), [(0, 1), (201, 200)])
def test_a_limit_out_of_range_is_named(db: None, limit: int, allowed: int) -> None:
    response = bearer_client().get(f"{API}/tasks?limit={limit}")

    error = response.json()["errors"][0]
    assert (response.status_code, error["field"], error["limit"]) == (422, "limit", allowed)
    assert error["value"] == str(limit)


@pytest.mark.parametrize("cursor", ["x", "bm90aGluZw", "WyJhIiwgImIiXQ", "W10", "4pyT" * 3])
def test_a_foreign_cursor_is_refused(db: None, cursor: str) -> None:
    response = bearer_client().get(f"{API}/tasks?cursor={cursor}")

    assert (response.status_code, response.json()["code"]) == (422, "bad_cursor")


def test_a_goal_shows_subtasks_events_and_evidence(db: None) -> None:
    seed_goals(NOW)
    goal = Task.objects.get(title="Greet in two languages")

    detail = _get(f"/tasks/{goal.id.hex}")
    subtasks = _get(f"/tasks/{goal.id.hex}/subtasks")
    events = _get(f"/tasks/{goal.id.hex}/events")
    evidence = _get(f"/tasks/{goal.id.hex}/evidence")

    assert (detail["id"], detail["phase"], detail["depends_on"]) == (goal.id.hex, "done", [])
    assert detail["created_at"] == "2026-05-04T10:25:00Z"
    assert [item["number"] for item in subtasks["items"]] == [1, 2]
    assert [item["target"] for item in events["items"]] == ["completed"]
    assert [run["outcome"] for run in evidence["merge_runs"]] == ["merged"]
    assert [run["passed"] for run in evidence["test_runs"]] == [True]
    assert detail["test_run_count"] == 1
    assert [(each["name"], each["rate"]) for each in evidence["flaky_tests"]] == [
        ("tests.test_greeting::test_latin", 0.05)
    ]


def test_an_agent_is_shown_with_its_evidence_and_run(db: None) -> None:
    task = make_task("work", TaskStatus.IN_PROGRESS)
    agent = make_agent("a-1")
    make_attempt(task, agent)

    shown = _get(f"/agents/{agent.id.hex}")
    explained = _get(f"/agents/{agent.id.hex}/explain")
    attempts = _get("/attempts?status=working")

    assert (shown["name"], shown["task_title"]) == ("a-1", "work")
    assert (explained["source"], explained["rule"]) == ("screen", "prompt_seen")
    assert explained["age_s"] > 0
    assert explained["attempt"]["task_id"] == task.id.hex
    assert [item["agent"] for item in attempts["items"]] == ["a-1"]
    assert _get("/attempts?status=failed")["items"] == []


def test_the_output_of_an_agent_without_a_session_is_503(db: None) -> None:
    agent = make_agent("a-1")

    response = bearer_client().get(f"{API}/agents/{agent.id.hex}/output?lines=5")

    assert response.status_code == 503
    assert response.json()["code"] == "tool_failed"
    assert response.headers["Retry-After"] == "1"


def test_live_offerings_are_listed_and_filtered(db: None) -> None:
    now = now_utc()
    live = make_offering(now=now)
    make_offering(now=now - timedelta(hours=1))

    assert [item["id"] for item in _get("/offerings")["items"]] == [live.id.hex]
    assert [item["state"] for item in _get("/offerings?state=all")["items"]] == ["live", "expired"]
    assert len(_get("/offerings?capability=python")["items"]) == 1
    assert _get("/offerings?capability=cobol")["items"] == []


def test_tributes_wallet_and_ledger_are_shown(db: None) -> None:
    tribute = make_tribute()
    make_entry("grant", 10, 10, 0)
    make_entry("hold", 4, 10, 4, tribute_id=tribute.id, counterparty_node_id=SELLER)

    assert _get(f"/tributes/{tribute.id.hex}")["total_cost"] == 4
    assert [item["id"] for item in _get("/tributes?status=pending")["items"]] == [tribute.id.hex]
    assert _get("/tributes?status=accepted")["items"] == []
    assert _get("/wallet") == {
        "balance": 0,
        "held": 0,
        "available": 0,
        "overdrawn": 0,
        "currency": "VOID",
    }
    assert [item["kind"] for item in _get("/wallet/ledger")["items"]] == ["hold", "grant"]
    page = _get("/wallet/ledger?limit=1")
    assert [item["kind"] for item in page["items"]] == ["hold"]
    following = _get(f"/wallet/ledger?limit=1&cursor={page['next_cursor']}")
    assert [item["kind"] for item in following["items"]] == ["grant"]
    assert following["next_cursor"] is None
    assert bearer_client().get(f"{API}/tributes/{uuid.uuid4()}").status_code == 404


def test_nodes_hold_everybody_and_peers_the_connected(db: None) -> None:
    make_node("a" * 32)
    make_node("b" * 32, connected=False)

    assert [item["node_id"][0] for item in _get("/nodes")["items"]] == ["a", "b"]
    assert [item["node_id"][0] for item in _get("/peers")["items"]] == ["a"]
