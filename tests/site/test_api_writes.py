from __future__ import annotations

from typing import Any

from marketplace.models import SellingPolicy, Tribute, Wallet
from p2p.clock import now_utc
from swarm.models import Agent, Task
from swarm.states import TaskStatus
from tests.support.factories import make_agent, make_attempt, make_offering, make_task
from tests.support.web_clients import bearer_client, post_json

API = "/api/swarm"
OUTLINE = "# Greet\n- [ ] Say hello\n  ```sh\n  echo hello > hello.txt\n  ```\n"


def _post(path: str, body: Any) -> Any:
    return post_json(bearer_client(), f"{API}{path}", body)


def test_a_goal_is_submitted(db: None) -> None:
    response = _post("/tasks", {"description": OUTLINE, "repository": "/srv/r.git"})

    body = response.json()
    assert response.status_code == 201
    assert (body["title"], body["status"], body["phase"]) == ("Greet", "planning", "planning")
    assert Task.objects.get().id.hex == body["id"]


def test_a_goal_is_cancelled_once(db: None) -> None:
    goal = make_task("goal", TaskStatus.IN_PROGRESS)

    first = _post(f"/tasks/{goal.id}/cancel", {"reason": "no longer wanted"})
    second = bearer_client().post(
        f"{API}/tasks/{goal.id}/cancel", "", content_type="application/json"
    )

    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    assert first.json()["error"] == "no longer wanted"
    assert (second.status_code, second.json()["code"]) == (409, "wrong_state")


def test_an_agent_is_registered_and_removed(db: None) -> None:
    added = _post("/agents", {"name": "a-1", "capabilities": ["python"]})
    path = f"{API}/agents/{added.json()['id']}"

    removed = bearer_client().delete(path)

    assert (added.status_code, added.json()["status"]) == (201, "starting")
    assert removed.json() == {"id": added.json()["id"], "removed": True}
    assert bearer_client().delete(path).status_code == 404


def test_a_busy_agent_is_not_removed(db: None) -> None:
    agent = make_agent("a-1")
    make_attempt(make_task("work", TaskStatus.IN_PROGRESS), agent)

    response = bearer_client().delete(f"{API}/agents/{agent.id}")

    assert (response.status_code, response.json()["code"]) == (409, "agent_busy")
    assert Agent.objects.count() == 1


def test_idle_agents_are_sold_and_withdrawn(db: None) -> None:
    make_agent("a-1", now=now_utc())

    sold = _post("/offerings", {"idle_agents": 1, "price_per_task": 3})
    withdrawn = bearer_client().delete(f"{API}/offerings/{sold.json()['id']}")

    assert (sold.status_code, sold.json()["idle_agents"]) == (201, 1)
    assert withdrawn.json() == {"id": sold.json()["id"], "withdrawn": True}
    assert not SellingPolicy.objects.get().selling


def test_more_agents_than_are_idle_are_not_sold(db: None) -> None:
    response = _post("/offerings", {"idle_agents": 1, "price_per_task": 3})

    assert (response.status_code, response.json()["code"]) == (409, "no_idle_agents")


def test_a_tribute_is_requested_and_cancelled(db: None) -> None:
    Wallet.objects.create(id=1, balance=10)
    goal = make_task("goal", TaskStatus.IN_PROGRESS)
    offering = make_offering(now=now_utc())

    body = {"offering_id": offering.id.hex, "task_count": 2, "goal_id": goal.id.hex}
    requested = _post("/tributes", body)
    wallet = Wallet.objects.get()
    cancelled = _post(f"/tributes/{requested.json()['id']}/cancel", {"reason": "too slow"})

    assert (requested.status_code, requested.json()["total_cost"]) == (201, 4)
    assert (wallet.balance, wallet.held) == (10, 4)
    assert cancelled.status_code == 200
    assert Wallet.objects.get().held == 0


def test_a_tribute_beyond_the_funds_holds_nothing(db: None) -> None:
    Wallet.objects.create(id=1, balance=3)
    goal = make_task("goal", TaskStatus.IN_PROGRESS)
    offering = make_offering(now=now_utc())

    body = {"offering_id": offering.id.hex, "task_count": 2, "goal_id": goal.id.hex}
    response = _post("/tributes", body)

    assert (response.status_code, response.json()["code"]) == (409, "insufficient_funds")
    assert Wallet.objects.get().held == 0
    assert Tribute.objects.count() == 0
