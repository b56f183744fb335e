"""Many offerings at once: the same queries for any number, and the same rules for each.

Forty, because SQLite takes no more than 999 values in one statement, and Django cuts there.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from marketplace.messages import OfferingAnnounce, OfferingBody, OfferingWithdraw
from marketplace.models import Offering
from marketplace.services import offering_records
from p2p.models import KnownNode, OutboxMessage
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Record
from p2p.protocol.timestamps import to_timestamp
from p2p.registration import Authority
from tests.support.wire import identity_number

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def announce(number: int, *, by: Identity | None = None, lasts_s: int = 3600) -> OfferingAnnounce:
    seller = by or identity_number(number)
    body = OfferingBody(
        id=f"{number:032x}",
        node_id=seller.node_id,
        swarm="andromeda",
        addresses=[],
        idle_agents=1,
        capabilities=[],
        price_per_task=1,
        currency="VOID",
        policy="accepted_result",
        isolation="worktree",
        api_keys=False,
        expires_at=to_timestamp(NOW + timedelta(seconds=lasts_s)),
        created_at=to_timestamp(NOW),
    )
    return OfferingAnnounce(**head(seller), offering=body)


def withdraw(number: int, *, by: Identity | None = None) -> OfferingWithdraw:
    seller = by or identity_number(number)
    return OfferingWithdraw(**head(seller), offering_id=f"{number:032x}", node_id=seller.node_id)


def head(seller: Identity) -> dict[str, object]:
    return {
        "origin": seller.node_id,
        "public_key": seller.public_key_text,
        "lamport_ts": int(NOW.timestamp() * 1000),
        "incarnation": 1,
        "seq": 1,
    }


def queries_of(batch: list[Record]) -> int:
    """Judge and apply a batch; return how many queries that took."""
    with CaptureQueriesContext(connection) as captured:
        rule = offering_records.authority_in(batch)
        assert {rule(each) for each in batch} == {Authority.APPLY}
        offering_records.apply_records(batch, NOW)
    return len(captured)


def events() -> list[str]:
    return [row.event["event"] for row in OutboxMessage.objects.order_by("id")]


def test_forty_offerings_take_as_many_queries_as_two() -> None:
    two: list[Record] = [announce(1), announce(2)]
    forty: list[Record] = [announce(number) for number in range(101, 141)]

    assert queries_of(forty) == queries_of(two)
    assert Offering.objects.count() == KnownNode.objects.count() == 42
    assert events() == ["announced"] * 42


def test_renewals_and_withdrawals_take_as_many_queries_as_two() -> None:
    numbers = range(1, 41)
    offering_records.apply_records([announce(number) for number in numbers], NOW)
    OutboxMessage.objects.all().delete()

    few = queries_of([announce(1), withdraw(2)])
    many = queries_of(
        [announce(each) if each % 2 else withdraw(each) for each in numbers if each > 2]
    )

    assert many == few
    assert Offering.objects.filter(withdrawn_at=NOW).count() == 20
    assert sorted(events()) == ["renewed"] * 20 + ["withdrawn"] * 20


def test_one_batch_judges_each_record_by_itself() -> None:
    offering_records.apply_records([announce(1), announce(2)], NOW)
    stranger = identity_number(9)
    verdicts = {
        "its seller": announce(1),
        "another seller": announce(2, by=stranger),
        "another withdraws": withdraw(2, by=stranger),
        "its seller withdraws": withdraw(2),
        "new": announce(3),
        "withdrawn before it was known": withdraw(4),
        "ends before it begins": announce(5, lasts_s=-1),
    }

    rule = offering_records.authority_in(list(verdicts.values()))

    refused = [name for name, each in verdicts.items() if rule(each) is Authority.NEVER]
    assert refused == ["another seller", "another withdraws", "ends before it begins"]


def test_what_is_withdrawn_already_is_told_once() -> None:
    offering_records.apply_records([announce(1)], NOW)

    for _ in range(2):
        offering_records.apply_records([withdraw(1)], NOW)

    assert events() == ["announced", "withdrawn"]
