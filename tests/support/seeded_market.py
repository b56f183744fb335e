"""A market in the middle of its day: requests that wait, deals in every state, a longer ledger."""

from __future__ import annotations

from datetime import datetime, timedelta

from marketplace.models import BuyingPolicy, OfferingEvent, Partner, SellingPolicy, Tribute
from marketplace.states import OfferingChange
from p2p.local import local_node
from p2p.models import KnownNode
from tests.support.factories import (
    BUYER,
    SELLER,
    make_agent,
    make_entry,
    make_execution,
    make_node,
    make_offering,
    make_payment,
    make_tribute,
)

STRANGER = "57a4" * 8
CHEAT = "bad0" * 8


def seed_busy_market(now: datetime) -> None:
    """Add to a seeded node what only the page of the market shows in full."""
    for node_id, swarm in ((STRANGER, "cygnus"), (CHEAT, "draco")):
        if not KnownNode.objects.filter(node_id=node_id).exists():
            make_node(node_id, now=now, swarm=swarm)
    _policies()
    _offerings(now)
    _deals(now)
    _partners(now)


def _policies() -> None:
    SellingPolicy.objects.filter(id=1).update(
        agents_max=4, agents_kept=2, hours="", price_per_task=3, credit_limit=200
    )
    BuyingPolicy.objects.filter(id=1).update(overflow=True, budget_per_day=50, price_max=4)


def _offerings(now: datetime) -> None:
    own = {"node_id": local_node().node_id, "swarm": local_node().swarm}
    make_offering(
        now=now - timedelta(minutes=11),
        expires_at=now + timedelta(seconds=271),
        idle_agents=1,
        price_per_task=3,
        isolation="sandbox",
        api_keys=True,
        **own,
    )
    ended = make_offering(
        now=now - timedelta(hours=9),
        expires_at=now - timedelta(hours=3),
        withdrawn_at=now - timedelta(hours=3),
        ended_reason="outside_hours",
        idle_agents=2,
        **own,
    )
    changes = (
        (OfferingChange.ANNOUNCED, "", 3, 540),
        (OfferingChange.RESIZED, "", 2, 420),
        (OfferingChange.WITHDRAWN, "outside_hours", 2, 180),
    )
    for change, reason, agents, minutes in changes:
        OfferingEvent.objects.create(
            offering=ended,
            change=change,
            reason=reason,
            idle_agents=agents,
            price_per_task=2,
            created_at=now - timedelta(minutes=minutes),
        )
    make_offering(now=now - timedelta(hours=1), node_id=CHEAT, swarm="draco", idle_agents=7)


def _deals(now: datetime) -> None:
    own_id = local_node().node_id
    make_agent("home-9", now=now, capabilities=["python"])
    make_tribute(
        now=now - timedelta(seconds=20),
        from_node_id=STRANGER,
        to_node_id=own_id,
        task_count=3,
        price_per_task=70,
        ref="main",
    )
    sold = make_tribute(
        now=now - timedelta(minutes=40),
        from_node_id=BUYER,
        to_node_id=own_id,
        status="accepted",
        task_count=4,
        released_count=1,
        price_per_task=3,
        tx_hash="0x" + "50" * 32,
    )
    done = make_execution(
        sold, "Polish the telescope", now=now, status="accepted", commit="7e1e" * 10, run=2
    )
    payment = make_payment(done, 3, now=now)
    payment.payer_node_id, payment.payee_node_id = BUYER, own_id
    payment.save()
    make_execution(
        sold, "Grind the lens", now=now, status="refused", reason="tests are red on its commit"
    )
    make_execution(sold, "Count the stars", now=now, reported_at=now - timedelta(minutes=1))
    make_tribute(
        now=now - timedelta(minutes=1),
        status="accepted",
        overflow=True,
        reserved_until=now + timedelta(seconds=47),
    )
    for minutes, status, code, words in (
        (70, "expired", "expired", "no answer before the deadline"),
        (80, "cancelled", "cancelled_by_seller", "cancelled by the seller: maintenance"),
        (90, "failed", "no_accepted_result", "0 of 1 executions accepted"),
    ):
        ended = make_tribute(
            now=now - timedelta(minutes=minutes), status=status, reason_code=code, reason=words
        )
        if status == "failed":
            make_execution(ended, "Guess the answer", status="refused", reason="no tests pass")
            Tribute.objects.filter(id=ended.id).update(released_count=1)
    make_entry("credit", 3, 1001, 2, now=now, counterparty_node_id=BUYER, note="Polish")
    for number in range(30):
        make_entry(
            *("hold" if number % 2 == 0 else "release", 4, 1001, 6 if number % 2 == 0 else 2),
            now=now,
            counterparty_node_id=SELLER,
            note="2 executions at 2",
        )


def _partners(now: datetime) -> None:
    Partner.objects.create(
        node_id=CHEAT, standing="blocked", note="reported commits of others", decided_at=now
    )
    Partner.objects.create(
        node_id=BUYER, standing="approved", credit_limit=5000, note="pays", decided_at=now
    )
