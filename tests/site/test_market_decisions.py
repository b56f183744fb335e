"""What the operator decides on the page of the market: requests, policies and partners."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from marketplace.models import (
    BuyingPolicy,
    LedgerEntry,
    Offering,
    Partner,
    SellingPolicy,
    Tribute,
)
from marketplace.services.credit import exposure
from marketplace.services.deciding import waiting_requests
from marketplace.services.hours import node_zone
from marketplace.services.sales import ADMIT
from p2p.clock import now_utc
from p2p.local import local_node
from swarm.models import Job
from tests.support.factories import (
    BUYER,
    make_agent,
    make_entry,
    make_tribute,
)
from tests.support.market_pages import make_request, part_text
from tests.support.seeded_market import CHEAT, STRANGER
from tests.support.web_clients import bearer_client, operator_client
from tests.support.web_pages import saved_of, text_of

NOBODY = "12345678-9abc-4def-8123-456789abcdef"


@pytest.fixture
def client(db: None) -> Client:
    return operator_client()


# --- decisions -----------------------------------------------------------------------------------


def test_requests_wait_until_they_are_decided(client: Client) -> None:
    request = make_request()
    make_tribute(now=now_utc())
    assert waiting_requests() == [request]
    assert "2 tasks for 4 VOID" in text_of(client.get("/parts/attention"))
    assert text_of(client.get("/parts/waiting")).strip() == "1 needs you"

    saved = saved_of(client.post(f"/tributes/{request.id}/accept"))

    assert {"market-queue", "market-tributes", "attention", "waiting"} <= set(saved["parts"])
    assert Job.objects.get().kind == ADMIT
    assert waiting_requests() == []
    assert part_text(client, "queue").strip() == ""
    assert "its remote is tried" in part_text(client, "tributes")
    assert Partner.objects.count() == 0


def test_accepting_may_remember_the_node(client: Client) -> None:
    request = make_request()

    saved = saved_of(client.post(f"/tributes/{request.id}/remember"))

    assert "market-partners" in saved["parts"]
    assert Partner.objects.get(node_id=BUYER).standing == "approved"
    assert Job.objects.get().kind == ADMIT


def test_blocking_a_node_rejects_all_that_it_waits_for(client: Client) -> None:
    first, second, other = make_request(), make_request(), make_request(from_node_id=STRANGER)

    saved = saved_of(client.post(f"/tributes/{first.id}/block"))

    assert saved["message"] == "b0b0b011 is blocked"
    assert Partner.objects.get().standing == "blocked"
    codes = dict(Tribute.objects.values_list("id", "reason_code"))
    assert codes == {first.id: "not_allowed", second.id: "not_allowed", other.id: ""}


def test_blocking_over_the_api_rejects_what_waits_too(client: Client) -> None:
    make_request()

    sent = {"standing": "blocked"}
    path = f"/api/swarm/partners/{BUYER}"
    answer = bearer_client().put(path, sent, content_type="application/json")

    assert answer.json()["standing"] == "blocked"
    assert Tribute.objects.get().reason_code == "not_allowed"


def test_an_own_request_blocks_nobody(client: Client) -> None:
    request = make_tribute(now=now_utc())

    response = client.post(f"/tributes/{request.id}/block")

    assert (response.status_code, Partner.objects.count()) == (403, 0)


def test_a_seller_ends_what_nobody_assigned(client: Client) -> None:
    sold = make_request(status="accepted", reserved_until=now_utc() + timedelta(minutes=1))

    saved_of(client.post(f"/tributes/{sold.id}/cancel"))

    assert Tribute.objects.get().reason_code == "cancelled_by_seller"


# --- policies and partners -----------------------------------------------------------------------

SELLING = {
    "selling": "on",
    "price_per_task": "3",
    "agents_max": "2",
    "agents_kept": "1",
    "hours": "",
    "capabilities": "python, testing",
    "acceptance": "manual",
    "requeue": "execution",
    "executions_per_buyer_max": "7",
    "credit_limit": "90",
}


def test_the_selling_policy_is_changed_as_a_whole(client: Client) -> None:
    for number in (1, 2):
        make_agent(f"a-{number}", capabilities=["python", "testing"])

    saved = saved_of(client.post("/selling", SELLING))

    policy = SellingPolicy.objects.get()
    assert "market-selling" in saved["parts"]
    assert (policy.agents_max, policy.agents_kept, policy.price_per_task) == (2, 1, 3)
    assert (policy.capabilities, policy.acceptance) == (["python", "testing"], "manual")
    assert (policy.requeue, policy.executions_per_buyer_max) == ("execution", 7)
    assert (policy.credit_limit, policy.api_keys, policy.selling) == (90, False, True)
    assert Offering.objects.get().idle_agents == 1
    assert "1 of 2 idle agents are kept for own work" in part_text(client, "selling")
    assert 'value="python, testing"' in client.get("/selling").content.decode()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("agents_max", "51", "less than or equal to 50"),
        ("price_per_task", "-1", "greater than or equal to 0"),
        ("hours", "22-06", "HH:MM-HH:MM"),
        ("capabilities", "Py thon", "capabilit"),
    ],
)
def test_a_bad_policy_is_refused_in_the_dialog(
    client: Client, field: str, value: str, reason: str
) -> None:
    response = client.post("/selling", {**SELLING, field: value})

    assert response.status_code == 422
    assert reason in text_of(response)
    assert SellingPolicy.objects.count() == 0


@pytest.mark.parametrize(
    ("policy", "busy", "sentence"),
    [
        ({"agents_kept": 1}, 1, "1 of 3 agents is busy, paused or not ready"),
        ({"agents_max": 1}, 0, "at most 1 are sold at once"),
        ({"capabilities": ["rust"]}, 0, "3 of 3 agents are not able to do all of rust"),
        ({"agents_kept": 3}, 0, "3 of 3 idle agents are kept for own work"),
    ],
)
def test_the_page_says_why_not_more_is_offered(
    client: Client, policy: dict[str, Any], busy: int, sentence: str
) -> None:
    SellingPolicy.objects.create(id=1, selling=True, **policy)
    for number in range(3):
        make_agent(f"a-{number}", status="working" if number < busy else "ready")

    assert sentence in part_text(client, "selling")


def test_outside_the_hours_the_page_says_so(client: Client) -> None:
    here = now_utc().astimezone(node_zone())
    hours = "-".join(f"{here + timedelta(hours=later):%H:%M}" for later in (2, 3))
    SellingPolicy.objects.create(id=1, selling=True, hours=hours)
    make_agent("a-1")

    text = part_text(client, "selling")

    assert f"new work is taken {hours} only" in text
    assert "0 of 1 agent are offered now" in text


def test_selling_is_switched_on_and_off(client: Client) -> None:
    make_agent("a-1")

    saved_of(client.post("/selling/on"))
    assert "1 of 1 agent is offered now" in part_text(client, "selling")
    assert 'hx-post="/selling/off"' in client.get("/parts/offerings").content.decode()

    saved_of(client.post("/selling/off"))
    assert not SellingPolicy.objects.get().selling
    assert "selling was switched off" in part_text(client, "ended")
    assert "announced 1 ×" in part_text(client, "ended")


def test_the_button_of_the_main_page_proposes_to_sell(client: Client) -> None:
    assert "checked" not in client.get("/selling").content.decode()
    assert "checked" in client.get("/selling?on").content.decode()


def test_the_buying_policy_is_changed_and_its_budget_shown(client: Client) -> None:
    sent = {"overflow": "on", "budget_per_day": "50", "price_max": "4"}
    saved_of(client.post("/buying", sent))
    bought = make_tribute(now=now_utc(), overflow=True)
    make_entry("hold", 8, 1000, 8, now=now_utc(), tribute_id=bought.id)

    policy = BuyingPolicy.objects.get()
    assert (policy.overflow, policy.budget_per_day, policy.strangers) == (True, 50, False)
    assert "8 of 50 VOID used in 24 hours, 42 left" in part_text(client, "buying")


def test_overflow_without_a_budget_is_refused_in_the_dialog(client: Client) -> None:
    response = client.post("/buying", {"overflow": "on", "budget_per_day": "0", "price_max": "4"})

    assert response.status_code == 422
    assert "with overflow on it must be at least 1" in text_of(response)
    assert BuyingPolicy.objects.count() == 0


def test_a_partners_standing_and_limit_are_changed(client: Client) -> None:
    saved_of(client.post("/partners/new", {"node_id": BUYER, "standing": "approved"}))
    path = f"/partners/{BUYER}"
    sent = {"standing": "stranger", "credit_limit": "77", "note": "be careful"}
    saved = saved_of(client.post(path, sent))

    row = Partner.objects.get()
    assert (row.standing, row.credit_limit, row.note) == ("stranger", 77, "be careful")
    assert saved["parts"][0] == "market-partners"
    assert 'value="77"' in client.get(path).content.decode()
    assert "owes 0 of at most 77 VOID" in part_text(client, "partners")


def test_a_partner_that_becomes_blocked_waits_no_more(client: Client) -> None:
    request = make_request(from_node_id=CHEAT)

    saved_of(client.post(f"/partners/{CHEAT}", {"standing": "blocked"}))

    assert Tribute.objects.get(id=request.id).status == "rejected"


@pytest.mark.parametrize("node_id", ["x", "ABCD" * 8, "f" * 31])
def test_what_is_no_node_id_is_refused(client: Client, node_id: str) -> None:
    response = client.post("/partners/new", {"node_id": node_id, "standing": "approved"})

    assert (response.status_code, Partner.objects.count()) == (422, 0)


def test_the_node_itself_is_no_partner(client: Client) -> None:
    own = local_node().node_id

    response = client.post(f"/partners/{own}", {"standing": "approved"})

    assert response.status_code == 422
    assert "is not the id of another node" in text_of(response)


def test_partners_show_what_they_owe(client: Client) -> None:
    make_request(status="accepted", task_count=3)

    assert exposure(BUYER).total == 6
    assert "owes 6 of at most 1,000 VOID, 6 unsettled" in part_text(client, "partners")
    assert LedgerEntry.objects.count() == 0
