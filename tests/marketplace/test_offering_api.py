"""Offerings and the selling policy over REST."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse

from marketplace.models import Offering, SellingPolicy
from marketplace.queries import keys_of
from p2p.clock import now_utc
from swarm.models import Agent
from swarm.services.agents import register_agent
from tests.support.factories import SELLER, make_offering
from tests.support.web_clients import bearer_client

API = "/api/swarm"

pytestmark = pytest.mark.django_db


def get(path: str) -> Any:
    response = bearer_client().get(f"{API}{path}")
    assert response.status_code == 200, response.content
    return response.json()


def put(body: object) -> HttpResponse:
    made: HttpResponse = bearer_client().put(
        f"{API}/policies/selling", json.dumps(body), content_type="application/json"
    )
    return made


def prices(path: str) -> list[int]:
    return [each["price_per_task"] for each in get(path)["items"]]


def agents(count: int) -> None:
    for number in range(count):
        name = f"agent-{number}"
        register_agent(name=name, tool="shell", capabilities=["python"], now=now_utc())
    Agent.objects.update(status="ready")


def test_the_cheapest_come_first_page_by_page() -> None:
    for price in (5, 1, 4, 1, 3):
        make_offering(now=now_utc(), price_per_task=price)

    first = get("/offerings?limit=2")
    second = get(f"/offerings?limit=2&cursor={first['next_cursor']}")
    third = get(f"/offerings?limit=2&cursor={second['next_cursor']}")
    shown = [each["price_per_task"] for page in (first, second, third) for each in page["items"]]
    assert shown == [1, 1, 3, 4, 5]
    assert third["next_cursor"] is None


def test_filters_by_capability_price_node_and_state() -> None:
    now = now_utc()
    make_offering(now=now, price_per_task=1, capabilities=["rust"])
    make_offering(now=now, price_per_task=2, capabilities=["rust", "python"])
    make_offering(now=now, price_per_task=3, node_id="c" * 32)
    make_offering(now=now, price_per_task=4, withdrawn_at=now)
    make_offering(now=now - timedelta(hours=1), price_per_task=5, capabilities=["rust"])

    assert prices("/offerings") == [1, 2, 3]
    assert prices("/offerings?capability=rust") == [1, 2]
    assert prices("/offerings?capability=rus") == []
    assert prices("/offerings?price_max=2") == [1, 2]
    assert prices(f"/offerings?node={SELLER}&capability=python") == [2]
    assert prices(f"/offerings?node={'c' * 32}") == [3]
    assert prices("/offerings?state=withdrawn") == [4]
    assert prices("/offerings?state=expired") == [5]
    assert prices("/offerings?state=expired&capability=rust") == [5]
    assert sorted(prices("/offerings?state=all")) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("query", ["node=xyz", "price_max=-1", "state=gone", "cursor=abc"])
def test_bad_filters_are_refused(query: str) -> None:
    response = bearer_client().get(f"{API}/offerings?{query}")

    assert response.status_code == 422
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan is told in SQLite's words")
def test_the_list_is_served_by_one_index_without_sorting() -> None:
    rows = keys_of("python", node_id="", now=now_utc()).select_related("offering")
    plan = rows.order_by("price_per_task", "pk")[:51].explain()

    assert "offering_cheapest (capability=?)" in plan
    assert "TEMP B-TREE" not in plan
    assert "SCAN" not in plan


def test_an_own_offering_is_shown_with_its_history() -> None:
    agents(2)
    made = bearer_client().post(
        f"{API}/offerings",
        json.dumps({"idle_agents": 2, "price_per_task": 3}),
        content_type="application/json",
    )
    assert made.status_code == 201, made.content
    offering_id = made.json()["id"]
    put({"price_per_task": 4})
    deleted = bearer_client().delete(f"{API}/offerings/{offering_id}")
    assert deleted.status_code == 200

    shown = get(f"/offerings/{offering_id}")
    assert (shown["state"], shown["ended_reason"]) == ("withdrawn", "operator")
    assert shown["ended_at"] == shown["withdrawn_at"]
    changes = [(each["change"], each["price_per_task"]) for each in shown["history"]]
    assert changes == [("withdrawn", 4), ("changed", 4), ("announced", 3)]
    assert not get("/policies/selling")["selling"]
    assert bearer_client().get(f"{API}/offerings/{'0' * 32}").status_code == 404


def test_the_policy_is_off_until_it_is_put() -> None:
    agents(3)
    policy = get("/policies/selling")
    assert (policy["selling"], policy["offering"]) == (False, None)
    assert policy["nothing_because"] == "operator"

    answer = put({"selling": True, "agents_kept": 1, "acceptance": "manual", "price_per_task": 6})
    assert answer.status_code == 200, answer.content
    policy = answer.json()
    assert (policy["sellable_agents"], policy["offering"]["idle_agents"]) == (2, 2)
    assert (policy["acceptance"], policy["nothing_because"], policy["open"]) == (
        "manual",
        None,
        True,
    )

    kept = put({"hours": ""}).json()  # what is left out stays
    assert (kept["selling"], kept["agents_kept"], kept["price_per_task"]) == (True, 1, 6)


def test_a_policy_that_sells_nothing_says_why() -> None:
    agents(1)

    policy = put({"selling": True, "capabilities": ["cobol"]}).json()

    assert (policy["offering"], policy["sellable_agents"]) == (None, 0)
    assert policy["explanation"] == "no idle agent can do all of cobol"


@pytest.mark.parametrize(
    ("body", "value", "limit"),
    [
        ({"price_per_task": -1}, -1, 0),
        ({"price_per_task": 10**12 + 1}, 10**12 + 1, 10**12),
        ({"agents_max": 0}, 0, 1),
        ({"agents_max": 51}, 51, 50),
        ({"agents_kept": 51}, 51, 50),
        ({"executions_per_buyer_max": 0}, 0, 1),
        ({"credit_limit": -1}, -1, 0),
        ({"acceptance": "all"}, "all", "'auto', 'allowlist' or 'manual'"),
        ({"capabilities": ["Not Good"]}, "Not Good", "^[a-z0-9][a-z0-9._+-]{0,63}$"),
        ({"selling": "yes"}, "yes", None),
        ({"unknown": 1}, 1, None),
    ],
)
def test_bad_values_are_refused_with_value_and_limit(
    body: dict[str, object], value: object, limit: object
) -> None:
    answer = put(body)

    assert answer.status_code == 422, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    [mistake] = answer.json()["errors"]
    assert (mistake["value"], mistake["limit"]) == (value, limit)
    assert not SellingPolicy.objects.exists()
    assert not Offering.objects.exists()


def test_bad_hours_are_refused_with_the_value() -> None:
    answer = put({"selling": True, "hours": "25:00-99:00"})

    assert (answer.status_code, answer.json()["code"]) == (422, "bad_hours")
    assert "'25:00-99:00': HH:MM-HH:MM from 00:00 to 23:59 is allowed" in answer.json()["detail"]
    assert not SellingPolicy.objects.exists()
