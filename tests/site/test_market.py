"""The page of the market: what it shows, its filters, sums and deadlines."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client

from marketplace.states import EndReason, RejectCode
from p2p.clock import now_utc
from tests.support.factories import (
    BUYER,
    SELLER,
    make_entry,
    make_execution,
    make_offering,
    make_payment,
    make_tribute,
)
from tests.support.market_pages import make_request, part_text
from tests.support.seeded_market import seed_busy_market
from tests.support.seeded_node import seed_node
from tests.support.web_clients import operator_client
from tests.support.web_pages import text_of
from voidlux_site.dashboard.asking import Asked
from voidlux_site.dashboard.market.deals import Sums, sums_of, views_of
from voidlux_site.dashboard.market.words import ENDS, REASONS
from voidlux_site.dashboard.parts import PARTS

NOBODY = "12345678-9abc-4def-8123-456789abcdef"


@pytest.fixture
def client(db: None) -> Client:
    return operator_client()


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
    make_request(repository=evil, ref=evil)
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
    assert "Nobody sells agents that can do cobol." in part_text(
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
    make_request()

    assert "Selling to" not in part_text(client, "tributes", side="buying")
    assert "Buying from" not in part_text(client, "tributes", state="open")
    assert "outside the selling hours" in part_text(client, "tributes", state="ended")


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

    assert "is before" in part_text(client, "ledger", **query)


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
    sold_idle = make_request(status="accepted")
    sold_busy = make_request(status="accepted")
    make_execution(sold_busy, "one")
    rows = [make_tribute(now=now), full, sold_idle, sold_busy, make_request()]

    assert [view.cancellable for view in views_of(rows, now)] == [True, False, True, False, False]


def test_every_code_has_words() -> None:
    assert all(REASONS.values()) and all(ENDS.values())
    assert set(RejectCode.values) <= set(REASONS)
    assert set(EndReason.values) <= set(ENDS)
