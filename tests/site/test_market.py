"""The page of the market: what it shows, its filters and its decisions."""

from __future__ import annotations

import re
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
from marketplace.states import EndReason, RejectCode
from p2p.clock import now_utc
from p2p.local import local_node
from swarm.models import Job
from tests.support.factories import (
    BUYER,
    SELLER,
    make_agent,
    make_entry,
    make_execution,
    make_offering,
    make_payment,
    make_tribute,
)
from tests.support.seeded_market import CHEAT, STRANGER, seed_busy_market
from tests.support.seeded_node import seed_node
from tests.support.web_clients import bearer_client, operator_client
from tests.support.web_pages import saved_of, text_of
from voidlux_site.dashboard.asking import Asked
from voidlux_site.dashboard.market.deals import Sums, sums_of, views_of
from voidlux_site.dashboard.market.words import ENDS, REASONS
from voidlux_site.dashboard.parts import PARTS

NOBODY = "12345678-9abc-4def-8123-456789abcdef"


@pytest.fixture
def client(db: None) -> Client:
    return operator_client()


def _part(client: Client, name: str, **query: str) -> str:
    response = client.get(f"/parts/market-{name}", query)
    assert response.status_code == 200
    return text_of(response)


def _request(**columns: Any) -> Tribute:
    defaults = {"now": now_utc(), "from_node_id": BUYER, "to_node_id": local_node().node_id}
    return make_tribute(**{**defaults, "task_count": 2, **columns})


def test_an_empty_market_says_what_will_be_there(client: Client) -> None:
    text = text_of(client.get("/market"))

    for piece in (
        *("Nobody sells agents now.", "No tributes here.", "No entries.", "Selling is off"),
        *("Off nothing is bought without you", "No partners.", "None that is remembered."),
    ):
        assert piece in text, piece
    assert "Waits for your decision" not in text


def test_a_busy_market_shows_everything(client: Client) -> None:
    seed_node(now_utc())
    seed_busy_market(now_utc())

    text = text_of(client.get("/market"))

    for piece in (
        *("Waits for your decision 2", "cygnus @ 57a457a4 , stranger", "3 tasks for 210 VOID"),
        *("It owes 0 of at most 200 VOID; this would make it 210, which is too much.",),
        *("works in a sandbox API keys that may serve others", "works in a worktree only"),
        *("Selling is on live ends in", "2 of 2 idle agents are kept for own work"),
        *("0 of 50 VOID used in 24 hours, 50 left", "at most 4 VOID a task"),
        *("by itself", "agents reserved for", "work due in", "Polish the telescope run 2"),
        *("too few idle agents : 2 agents wanted", "cancelled by the seller", "reported 1 min ago"),
        *("VOID: 3 paid · 6 given back · 3 open", "no result was accepted"),
        *("draco bad0bad0 blocked", "reported commits of others", "a limit of its own"),
        *("withdrawn", "3 h ago : the selling hours ended", "3 changes", "announced 3 × 2 VOID"),
        *("34 entries", "grant 1,000", "page 1", "Download as CSV"),
    ):
        assert piece in text, piece


def test_the_page_is_linked_and_marked(client: Client) -> None:
    assert b'<a href="/market">Market</a>' in client.get("/").content
    assert b'<a href="/market" aria-current="page">' in client.get("/market").content
    assert Client().get("/market").headers["Location"] == "/login"


@pytest.mark.parametrize(
    "path",
    [
        *("/selling", "/selling/on", "/selling/off", "/buying", "/partners/new"),
        *(f"/partners/{BUYER}", f"/tributes/{NOBODY}/remember", f"/tributes/{NOBODY}/block"),
    ],
)
def test_a_stranger_decides_nothing(db: None, path: str) -> None:
    assert Client().post(path, {}).headers["Location"] == "/login"


def test_what_others_wrote_is_escaped(client: Client) -> None:
    evil = "<script>alert(1)</script>"
    make_offering(now=now_utc(), swarm=evil, capabilities=[evil])
    _request(repository=evil, ref=evil)
    row = make_tribute(now=now_utc(), status="rejected", reason=evil, reason_code=evil)
    make_execution(row, evil, status="refused", reason=evil)

    html = client.get("/market").content.decode()

    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)") >= 8


# --- filters and pages ---------------------------------------------------------------------------


def test_offerings_are_filtered_by_capability_and_sorted_by_price(client: Client) -> None:
    for swarm, price, capability in (("orion", 2, "python"), ("lyra", 9, "rust"), ("ara", 5, "c")):
        make_offering(
            now=now_utc(), swarm=swarm, price_per_task=price, capabilities=[capability, "git"]
        )

    def order(**query: str) -> list[str]:
        return re.findall(r"orion|lyra|ara", re.sub(r"Request tribute.*?VOID", "", html(**query)))

    def html(**query: str) -> str:
        found = client.get("/parts/market-offerings", query).content.decode()
        return re.sub(r'aria-label="[^"]*"', "", found)

    assert order() == ["orion", "ara", "lyra"]
    assert order(order="dearest") == ["lyra", "ara", "orion"]
    assert order(capability="rust") == ["lyra"]
    assert "Nobody sells agents that can do cobol." in _part(
        client, "offerings", capability="cobol"
    )
    assert "<option>rust</option>" in client.get("/market").content.decode()


@pytest.mark.parametrize("page", ["0", "-1", "x", "٣", "9" * 30, "%00"])
def test_odd_pages_and_filters_are_none(client: Client, page: str) -> None:
    make_offering(now=now_utc())

    shown = {"page": page, "order": "sideways", "kind": "x", "from": "0000-01-99", "side": "?"}

    for name in PARTS:
        assert client.get(f"/parts/{name}", shown).status_code == 200


def test_long_lists_have_pages(client: Client) -> None:
    for price in range(1, 14):
        make_offering(now=now_utc(), price_per_task=price)

    first = client.get("/parts/market-offerings").content.decode()
    second = client.get("/parts/market-offerings", {"page": "2"}).content.decode()

    assert first.count('class="card"') == 12
    assert 'hx-get="/parts/market-offerings?page=2"' in first
    assert second.count('class="card"') == 1
    assert '<input type="hidden" name="page" value="2" autocomplete="off">' in second


def test_tributes_are_filtered_by_side_and_state(client: Client) -> None:
    make_tribute(now=now_utc(), status="rejected", reason_code="outside_hours")
    _request()

    assert "Selling to" not in _part(client, "tributes", side="buying")
    assert "Buying from" not in _part(client, "tributes", state="open")
    assert "outside the selling hours" in _part(client, "tributes", state="ended")


def test_the_ledger_is_filtered_and_the_download_is_the_same(client: Client) -> None:
    now = now_utc()
    make_entry("grant", 1000, 1000, 0, now=now - timedelta(days=40))
    make_entry("hold", 4, 1000, 4, now=now, counterparty_node_id=SELLER)
    make_entry("release", 4, 1000, 0, now=now, counterparty_node_id=BUYER)

    def rows(**query: str) -> list[str]:
        html = client.get("/parts/market-ledger", query).content.decode()
        return re.findall(r'data-kind="(\w+)"', html)

    day = (now - timedelta(days=2)).date().isoformat()
    assert rows() == ["release", "hold", "grant"]
    assert rows(kind="hold") == ["hold"]
    assert rows(counterparty=BUYER) == ["release"]
    assert rows(**{"from": day}) == ["release", "hold"]
    assert rows(to=day) == ["grant"]
    html = client.get("/parts/market-ledger", {"kind": "hold"}).content.decode()
    link = re.search(r'href="(/api/swarm/wallet/statement.csv[^"]*)"', html)
    assert link is not None
    csv = b"".join(client.get(link[1]).streaming_content).decode()  # type: ignore[attr-defined]
    assert [line.split(",")[2] for line in csv.splitlines()] == ["kind", "hold"]


def test_a_period_that_ends_before_it_begins_is_refused_in_words(client: Client) -> None:
    query = {"from": "2026-05-04", "to": "2026-05-01"}

    assert "is before" in _part(client, "ledger", **query)


def test_the_last_day_of_a_period_is_whole() -> None:
    asked = Asked(now_utc(), {"to": "2026-05-04"})

    begin, end = asked.midnight("to"), asked.midnight("to", after_days=1)

    assert begin is not None and end is not None
    assert (begin.day, end.day, end.hour) == (4, 5, 0)


# --- sums and deadlines --------------------------------------------------------------------------


def test_the_sums_of_a_tribute_are_its_cost(db: None) -> None:
    row = make_tribute(now=now_utc(), status="accepted", task_count=5, released_count=1)
    make_payment(make_execution(row, "paid", status="accepted"), 2)
    make_execution(row, "refused", status="refused")
    make_execution(row, "open")

    assert sums_of(row) == Sums(paid=2, released=4, open=4)
    assert sums_of(make_tribute(status="expired")) == Sums(paid=0, released=4, open=0)
    assert sums_of(make_tribute()) == Sums(paid=0, released=0, open=4)


def test_an_aborted_payment_is_not_paid(db: None) -> None:
    row = make_tribute(now=now_utc(), status="accepted", task_count=1)
    payment = make_payment(make_execution(row, "one", status="accepted"), 2)
    payment.status = "aborted"
    payment.save()

    assert sums_of(row) == Sums(paid=0, released=0, open=2)


def test_each_deadline_counts_while_it_matters(db: None) -> None:
    now = now_utc()
    soon = now + timedelta(seconds=30)
    reserved = make_tribute(now=now, status="accepted", reserved_until=soon)
    lapsed = make_tribute(now=now, status="accepted", reserved_until=now)
    at_work = make_tribute(now=now, status="accepted", reserved_until=soon)
    make_execution(at_work, "one")

    shown = [(view.reserved, view.working) for view in views_of([reserved, lapsed, at_work], now)]

    assert shown == [(True, False), (False, True), (False, True)]


def test_only_what_can_be_given_back_is_cancellable(db: None) -> None:
    now = now_utc()
    full = make_tribute(now=now, status="accepted", task_count=1)
    make_execution(full, "one")
    sold_idle = _request(status="accepted")
    sold_busy = _request(status="accepted")
    make_execution(sold_busy, "one")
    rows = [make_tribute(now=now), full, sold_idle, sold_busy, _request()]

    assert [view.cancellable for view in views_of(rows, now)] == [True, False, True, False, False]


def test_every_code_has_words() -> None:
    assert all(REASONS.values()) and all(ENDS.values())
    assert set(RejectCode.values) <= set(REASONS)
    assert set(EndReason.values) <= set(ENDS)


# --- decisions -----------------------------------------------------------------------------------


def test_requests_wait_until_they_are_decided(client: Client) -> None:
    request = _request()
    make_tribute(now=now_utc())
    assert waiting_requests() == [request]
    assert "2 tasks for 4 VOID" in text_of(client.get("/parts/attention"))
    assert text_of(client.get("/parts/waiting")).strip() == "1 needs you"

    saved = saved_of(client.post(f"/tributes/{request.id}/accept"))

    assert {"market-queue", "market-tributes", "attention", "waiting"} <= set(saved["parts"])
    assert Job.objects.get().kind == ADMIT
    assert waiting_requests() == []
    assert _part(client, "queue").strip() == ""
    assert "its remote is tried" in _part(client, "tributes")
    assert Partner.objects.count() == 0


def test_accepting_may_remember_the_node(client: Client) -> None:
    request = _request()

    saved = saved_of(client.post(f"/tributes/{request.id}/remember"))

    assert "market-partners" in saved["parts"]
    assert Partner.objects.get(node_id=BUYER).standing == "approved"
    assert Job.objects.get().kind == ADMIT


def test_blocking_a_node_rejects_all_that_it_waits_for(client: Client) -> None:
    first, second, other = _request(), _request(), _request(from_node_id=STRANGER)

    saved = saved_of(client.post(f"/tributes/{first.id}/block"))

    assert saved["message"] == "b0b0b011 is blocked"
    assert Partner.objects.get().standing == "blocked"
    codes = dict(Tribute.objects.values_list("id", "reason_code"))
    assert codes == {first.id: "not_allowed", second.id: "not_allowed", other.id: ""}


def test_blocking_over_the_api_rejects_what_waits_too(client: Client) -> None:
    _request()

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
    sold = _request(status="accepted", reserved_until=now_utc() + timedelta(minutes=1))

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
    assert "1 of 2 idle agents are kept for own work" in _part(client, "selling")
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

    assert sentence in _part(client, "selling")


def test_outside_the_hours_the_page_says_so(client: Client) -> None:
    here = now_utc().astimezone(node_zone())
    hours = "-".join(f"{here + timedelta(hours=later):%H:%M}" for later in (2, 3))
    SellingPolicy.objects.create(id=1, selling=True, hours=hours)
    make_agent("a-1")

    text = _part(client, "selling")

    assert f"new work is taken {hours} only" in text
    assert "0 of 1 agent are offered now" in text


def test_selling_is_switched_on_and_off(client: Client) -> None:
    make_agent("a-1")

    saved_of(client.post("/selling/on"))
    assert "1 of 1 agent is offered now" in _part(client, "selling")
    assert 'hx-post="/selling/off"' in client.get("/parts/offerings").content.decode()

    saved_of(client.post("/selling/off"))
    assert not SellingPolicy.objects.get().selling
    assert "selling was switched off" in _part(client, "ended")
    assert "announced 1 ×" in _part(client, "ended")


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
    assert "8 of 50 VOID used in 24 hours, 42 left" in _part(client, "buying")


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
    assert "owes 0 of at most 77 VOID" in _part(client, "partners")


def test_a_partner_that_becomes_blocked_waits_no_more(client: Client) -> None:
    request = _request(from_node_id=CHEAT)

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
    _request(status="accepted", task_count=3)

    assert exposure(BUYER).total == 6
    assert "owes 6 of at most 1,000 VOID, 6 unsettled" in _part(client, "partners")
    assert LedgerEntry.objects.count() == 0
