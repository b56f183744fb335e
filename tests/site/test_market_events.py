"""Each event of the market is published with its whole object, and names the parts it concerns."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from marketplace.models import Offering, Tribute, Wallet
from marketplace.queries import describe_offering, describe_tribute, describe_wallet
from marketplace.services import offerings, settlement, wallet
from marketplace.services.cancelling import cancel_tribute
from marketplace.services.sales import reject_by_operator
from marketplace.services.transitions import move_tribute
from marketplace.services.tributes import expire_unanswered, request_tribute
from marketplace.states import EntryKind, TributeStatus
from p2p.clock import now_utc
from p2p.local import local_node
from p2p.models import OutboxKind, OutboxMessage
from swarm.models import Agent
from swarm.states import TaskStatus
from tests.support.factories import (
    BUYER,
    make_agent,
    make_execution,
    make_offering,
    make_task,
    make_tribute,
)
from tests.support.web_clients import operator_client
from voidlux_site.dashboard.parts import PARTS


def _told(kind: str) -> list[dict[str, Any]]:
    rows = OutboxMessage.objects.filter(kind=OutboxKind.EVENT).order_by("id")
    return [row.event for row in rows if row.event and row.event["type"] == kind]


def _concerned(kind: str) -> set[str]:
    return {name for name, part in PARTS.items() if kind in part.events.split()}


def _shown(name: str) -> str:
    return operator_client().get(f"/parts/market-{name}").content.decode()


# --- offerings -----------------------------------------------------------------------------------


def _announce(now: datetime) -> None:
    make_agent("a-1", now=now)
    make_agent("a-2", now=now)
    offerings.set_selling_policy(selling=True, now=now)


def _renew(now: datetime) -> None:
    _announce(now)
    Agent.objects.filter(name="a-2").delete()
    offerings.refresh_offering(now)


def _withdraw(now: datetime) -> None:
    _announce(now)
    offerings.stop_selling(now=now)


def _expire(now: datetime) -> None:
    make_offering(now=now - timedelta(hours=1))
    offerings.expire_offerings(now)


@pytest.mark.parametrize(
    ("event", "act"),
    [
        ("announced", _announce),
        ("renewed", _renew),
        ("withdrawn", _withdraw),
        ("expired", _expire),
    ],
)
def test_an_offerings_event_has_the_whole_offering(
    db: None, event: str, act: Callable[[datetime], None]
) -> None:
    now = now_utc()

    act(now)

    told = _told("offering_update")[-1]
    assert told["event"] == event
    assert told["offering"] == describe_offering(Offering.objects.get(), now)
    live = event in ("announced", "renewed")
    assert _shown("offerings").count('class="card"') == live
    assert _shown("ended?of=all").count(f">{event}</span>") == (not live)


# --- tributes ------------------------------------------------------------------------------------


def _requested(now: datetime) -> None:
    Wallet.objects.create(id=1, balance=10)
    goal = make_task("goal", TaskStatus.IN_PROGRESS)
    offering = make_offering(now=now)
    request_tribute(offering_id=offering.id, task_count=1, goal_id=goal.id, now=now)


def _asked(now: datetime) -> UUID:
    own_id = local_node().node_id
    return make_tribute(now=now, from_node_id=BUYER, to_node_id=own_id, task_count=1).id


def _accepted(now: datetime) -> None:
    move_tribute(_asked(now), TributeStatus.ACCEPTED, now=now)


def _rejected(now: datetime) -> None:
    reject_by_operator(_asked(now), reason="no", now=now)


def _expired(now: datetime) -> None:
    _asked(now)
    expire_unanswered(now + timedelta(days=1))


def _cancelled(now: datetime) -> None:
    sold = _asked(now)
    Tribute.objects.filter(id=sold).update(status="accepted")
    cancel_tribute(sold, reason="closed", now=now)


def _settled(status: str) -> Callable[[datetime], None]:
    def act(now: datetime) -> None:
        sold = Tribute.objects.get(id=_asked(now))
        Tribute.objects.filter(id=sold.id).update(status="accepted")
        make_execution(sold, "one", status=status)
        settlement.close_if_settled(sold, now=now)

    return act


@pytest.mark.parametrize(
    ("event", "act"),
    [
        *(("requested", _requested), ("accepted", _accepted), ("rejected", _rejected)),
        *(("expired", _expired), ("cancelled", _cancelled)),
        *(("completed", _settled("accepted")), ("failed", _settled("refused"))),
    ],
)
def test_a_tributes_event_has_the_whole_tribute(
    db: None, event: str, act: Callable[[datetime], None]
) -> None:
    act(now_utc())

    told = _told("tribute_update")[-1]
    assert told["event"] == event
    shown = describe_tribute(Tribute.objects.get())
    assert told["tribute"] == shown
    assert shown["status"] == ("pending" if event == "requested" else event)
    assert f">{shown['status']}</span>" in _shown("tributes")


# --- wallet --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EntryKind)
def test_a_wallets_event_has_the_whole_wallet_and_the_entry(db: None, kind: EntryKind) -> None:
    now = now_utc()
    Wallet.objects.create(id=1, balance=10, held=5)

    entry = wallet.move(wallet.Movement(kind=kind, reference="r", amount=2), now=now)

    told = _told("wallet_update")[-1]
    assert entry is not None
    assert told["event"] == kind
    assert {name: told[name] for name in describe_wallet()} == describe_wallet()
    assert told["entry"]["id"] == entry.id
    assert f'data-kind="{kind}"' in _shown("ledger")


# --- what is drawn anew --------------------------------------------------------------------------


def test_each_event_refreshes_exactly_the_parts_that_it_concerns() -> None:
    assert _concerned("offering_update") == {
        *("offerings", "market-offerings", "market-ended", "market-selling"),
    }
    assert _concerned("tribute_update") == {
        *("tributes", "trouble", "attention", "waiting"),
        *("market-queue", "market-tributes", "market-partners"),
    }
    assert _concerned("wallet_update") == {"wallet", "ledger", "market-ledger", "market-buying"}


def test_the_page_names_events_and_filters_of_its_parts(db: None) -> None:
    html = operator_client().get("/market").content.decode()

    drawn = dict(re.findall(r'data-part="([^"]+)" data-events="([^"]+)"', html))
    assert drawn == {
        name: part.events
        for name, part in PARTS.items()
        if name.startswith("market-") or name in ("wallet", "waiting", "election")
    }
    for form in re.findall(r'id="(market-\w+-filter)"', html):
        assert f'hx-include="#{form}, #part-{form.removesuffix("-filter")} [name=page]"' in html
