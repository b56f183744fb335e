"""Tasks over REST: pages over own tasks and copies, what the operator may do, and who may not."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from pytest_django import DjangoAssertNumQueries

from swarm.models import KnownTerm, RemoteAgent, Task, TaskCopy
from swarm.states import TaskStatus
from tests.support.factories import NOW, make_agent, make_task
from tests.support.web_clients import bearer_client

API = "/api/swarm"
EMPEROR = "e" * 32

pytestmark = pytest.mark.django_db


def get(path: str) -> Any:
    response = bearer_client().get(f"{API}{path}")
    assert response.status_code == 200, response.content
    return response.json()


def post(path: str, body: dict[str, Any] | None = None) -> Any:
    return bearer_client().post(f"{API}{path}", body or {}, content_type="application/json")


def make_copy(title: str, *, minutes: int, **columns: Any) -> TaskCopy:
    copy_id, at = uuid.uuid4(), NOW + timedelta(minutes=minutes)
    stamp = at.isoformat().replace("+00:00", "Z")
    body = {
        "id": copy_id.hex,
        "title": title,
        "status": "pending",
        "repository": "/srv/r.git",
        "created_by": EMPEROR,
        "created_at": stamp,
        "updated_at": stamp,
        "feedback": "try harder",
        "history": [
            {"source": "", "target": "pending", "by": "planner", "reason": "planned", "at": stamp}
        ],
    }
    return TaskCopy.objects.create(
        id=copy_id,
        emperor_node_id=EMPEROR,
        term=1,
        status="pending",
        body=body,
        created_at=at,
        updated_at=at,
        **columns,
    )


def test_pages_hold_own_tasks_and_copies_in_one_order() -> None:
    for number in range(0, 10, 2):
        make_task(f"t{number}", TaskStatus.FAILED, now=NOW + timedelta(minutes=number))
        make_copy(f"t{number + 1}", minutes=number + 1)

    titles, cursor = [], ""
    while True:
        page = get(f"/tasks?limit=3&cursor={cursor}")
        titles += [each["title"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert titles == [f"t{number}" for number in range(9, -1, -1)]


def test_a_copy_has_every_field_that_an_own_task_has() -> None:
    own = make_task("own", TaskStatus.PENDING)
    copy = make_copy("copied", minutes=1)

    shown = get(f"/tasks/{copy.id.hex}")
    assert set(get(f"/tasks/{own.id.hex}")) == set(shown)
    assert (shown["emperor_node_id"], shown["feedback"], shown["commit"]) == (
        EMPEROR,
        "try harder",
        "",
    )
    [event] = get(f"/tasks/{copy.id.hex}/events")["items"]
    assert (event["target"], event["by"], event["reason"]) == ("pending", "planner", "planned")


def test_filters_hold_for_both_and_archived_ones_are_hidden() -> None:
    make_task("open", TaskStatus.PENDING)
    make_task("gone", TaskStatus.FAILED, archived_at=NOW)
    make_copy("theirs", minutes=1)
    make_copy("their old one", minutes=2, archived_at=NOW)

    def titles(query: str) -> list[str]:
        return sorted(each["title"] for each in get(f"/tasks{query}")["items"])

    assert titles("") == ["open", "theirs"]
    assert titles("?archived=yes") == ["gone", "their old one"]
    assert len(titles("?archived=any")) == 4
    assert titles("?archived=any&status=failed") == ["gone"]
    assert bearer_client().get(f"{API}/tasks?archived=maybe").status_code == 422


def test_the_subtasks_of_a_copied_goal_are_listed() -> None:
    goal = make_copy("goal", minutes=1)
    make_copy("second", minutes=2, parent_id=goal.id, number=2)
    make_copy("first", minutes=3, parent_id=goal.id, number=1)

    shown = get(f"/tasks/{goal.id.hex}/subtasks")["items"]
    assert [each["title"] for each in shown] == ["first", "second"]
    assert len(get(f"/tasks?parent={goal.id.hex}")["items"]) == 2


@pytest.mark.parametrize("action", ["cancel", "requeue", "archive"])
def test_nobody_but_its_emperor_moves_a_task(action: str) -> None:
    KnownTerm.objects.create(
        node_id=EMPEROR,
        counter=1,
        addresses=[{"host": "10.0.0.7", "port": 7101}],
        http_port=9091,
        known_at=NOW,
    )
    copy = make_copy("theirs", minutes=1)

    answer = post(f"/tasks/{copy.id.hex}/{action}")

    assert (answer.status_code, answer.json()["code"]) == (503, "no_emperor")
    assert f"{EMPEROR[:8]}, of a swarm whose secret this node has not" in answer.json()["detail"]


def test_a_worker_takes_no_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = settings.ENVIRONMENT.model_copy(update={"role": "worker"})
    monkeypatch.setattr(settings, "ENVIRONMENT", worker)

    answer = post(
        "/tasks",
        {"description": "# G\n\n- [ ] x\n  ```sh\n  true\n  ```\n", "repository": "/srv/r.git"},
    )

    assert (answer.status_code, answer.json()["code"]) == (503, "no_emperor")
    assert answer.json()["detail"].startswith("no emperor is known: the members")
    assert answer.headers["Retry-After"] == "35"
    assert not Task.objects.exists()


def test_requeue_and_archive_answer_with_the_task_or_why_not() -> None:
    goal = make_task("goal", TaskStatus.IN_PROGRESS)
    task = make_task("part", TaskStatus.CLAIMED, parent=goal, number=1, assigned_node=EMPEROR)

    assert post(f"/tasks/{task.id.hex}/archive").status_code == 409
    answer = post(f"/tasks/{task.id.hex}/requeue", {"reason": "too slow"})
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")
    events = get(f"/tasks/{task.id.hex}/events")["items"]
    assert (events[-1]["by"], events[-1]["reason"]) == ("operator", "too slow")
    assert post(f"/tasks/{task.id.hex}/requeue").status_code == 409

    assert post(f"/tasks/{goal.id.hex}/cancel").json()["status"] == "cancelled"
    archived = post(f"/tasks/{goal.id.hex}/archive").json()
    assert archived["archived_at"] is not None
    assert get("/tasks")["items"] == []


def test_agents_of_other_members_are_listed_and_never_counted() -> None:
    make_agent("mine")
    RemoteAgent.objects.create(
        id=uuid.uuid4(),
        node_id=EMPEROR,
        name="theirs",
        tool="shell",
        capabilities=["python"],
        status="ready",
        available=True,
        body={"capabilities": ["python"], "status_since": "2026-01-01T00:00:00Z"},
        status_since=NOW,
    )

    listed = get("/agents")["items"]
    assert [(each["name"], each["own"]) for each in listed] == [("mine", True), ("theirs", False)]
    assert set(listed[0]) - set(listed[1]) == set()
    assert listed[1]["node_silent_s"] is None
    assert get(f"/agents/{listed[1]['id']}")["node_id"] == EMPEROR
    assert get("/status")["agents"]["total"] == 1
    assert get("/status")["member_agents"] == 1


def test_a_page_costs_the_same_number_of_queries_however_long_it_is(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(20):
        goal = make_task(f"g{number}", TaskStatus.IN_PROGRESS)
        make_task("s", TaskStatus.MERGING, parent=goal, number=1)

    with django_assert_max_num_queries(4):
        page = get("/tasks?parent=none")
    assert {each["phase"] for each in page["items"]} == {"merging"}
