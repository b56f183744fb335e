"""What is believed of other nodes' offerings, and how they are found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from marketplace.messages import OfferingAnnounce, OfferingBody, OfferingWithdraw
from marketplace.models import Offering, OfferingKey
from marketplace.queries import keys_of
from marketplace.services import offering_records, offerings
from p2p.models import OutboxMessage
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Record
from p2p.protocol.timestamps import to_timestamp
from p2p.registration import Authority
from tests.support.wire import identity_number

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIRST, SECOND = identity_number(1), identity_number(2)


def announce(
    by: Identity = FIRST,
    *,
    number: int = 1,
    price: int = 1,
    capabilities: tuple[str, ...] = ("python",),
    created_at: datetime = NOW,
    expires_at: datetime = NOW + timedelta(seconds=300),
    written_at: datetime = NOW,
) -> OfferingAnnounce:
    body = OfferingBody(
        id=f"{number:032x}",
        node_id=by.node_id,
        swarm="andromeda",
        addresses=[],
        idle_agents=1,
        capabilities=list(capabilities),
        price_per_task=price,
        currency="VOID",
        policy="accepted_result",
        isolation="sandbox",
        api_keys=True,
        expires_at=to_timestamp(expires_at),
        created_at=to_timestamp(created_at),
    )
    return OfferingAnnounce(**head(by, written_at), offering=body)


def head(by: Identity, written_at: datetime = NOW) -> dict[str, object]:
    return {
        "origin": by.node_id,
        "public_key": by.public_key_text,
        "lamport_ts": int(written_at.timestamp() * 1000),
        "incarnation": 1,
        "seq": 1,
    }


def judged(*batch: Record) -> list[Authority]:
    rule = offering_records.authority_in(batch)
    return [rule(each) for each in batch]


def take(*batch: Record, now: datetime = NOW) -> None:
    offering_records.apply_records(batch, now)


def events() -> list[str]:
    return [row.event["event"] for row in OutboxMessage.objects.order_by("id")]


def found(capability: str) -> list[int]:
    return [row.offering_id.int for row in keys_of(capability, node_id="", now=NOW).order_by("id")]


def test_all_that_the_seller_says_is_kept() -> None:
    take(announce())

    row = Offering.objects.get()
    assert (row.isolation, row.api_keys, row.price_per_task) == ("sandbox", True, 1)
    assert row.expires_at == NOW + timedelta(seconds=300)


def test_a_third_node_cannot_renew_or_withdraw_it() -> None:
    take(announce())
    withdrawal = OfferingWithdraw(**head(SECOND), offering_id=f"{1:032x}", node_id=SECOND.node_id)
    claimed = OfferingWithdraw(**head(SECOND), offering_id=f"{1:032x}", node_id=FIRST.node_id)

    assert judged(announce(SECOND, price=0), withdrawal, claimed) == [Authority.NEVER] * 3
    assert judged(announce(price=2)) == [Authority.APPLY]


def test_of_two_sellers_of_one_id_in_a_batch_the_first_is_believed() -> None:
    assert judged(announce(FIRST), announce(SECOND)) == [Authority.APPLY, Authority.NEVER]
    unsound = announce(FIRST, expires_at=NOW - timedelta(seconds=1))
    assert judged(unsound, announce(SECOND)) == [Authority.NEVER, Authority.APPLY]


def test_an_offering_of_another_node_in_its_name_is_refused() -> None:
    told = announce(SECOND)
    forged = OfferingAnnounce(**head(FIRST), offering=told.offering)

    assert judged(forged) == [Authority.NEVER]


def test_every_node_ends_it_at_the_same_time_whenever_it_came() -> None:
    forever = announce(expires_at=NOW + timedelta(days=900))
    for hours in (0, 7, 23):
        take(forever, now=NOW + timedelta(hours=hours))

        assert Offering.objects.get().expires_at == NOW + timedelta(days=1)


def test_one_that_ran_out_on_its_way_is_never_shown_as_news() -> None:
    take(announce(), now=NOW + timedelta(seconds=300))

    assert events() == []
    assert offerings.expire_offerings(NOW + timedelta(seconds=300)) == 1
    assert events() == ["expired"]


def test_a_renewal_after_the_end_makes_it_live_again() -> None:
    take(announce())
    offerings.expire_offerings(NOW + timedelta(seconds=300))
    later = NOW + timedelta(seconds=400)
    take(announce(expires_at=later + timedelta(seconds=300)), now=later)

    row = Offering.objects.get()
    assert (row.expired_at, row.ended_reason) == (None, "")
    assert events() == ["announced", "expired", "renewed"]


def test_a_withdrawal_of_something_unknown_changes_nothing() -> None:
    withdrawal = OfferingWithdraw(**head(FIRST), offering_id=f"{5:032x}", node_id=FIRST.node_id)

    assert judged(withdrawal) == [Authority.APPLY]  # kept as a tombstone: its offering may follow
    take(withdrawal)
    assert events() == []
    assert not Offering.objects.exists()


def test_it_is_found_by_the_capabilities_that_it_has_now() -> None:
    take(announce(capabilities=("python", "rust", "python")), announce(number=2))
    assert (found("python"), found("rust"), found("go")) == ([1, 2], [1], [])

    assert found("") == [1, 2]

    take(announce(capabilities=("go",)))
    assert (found("python"), found("rust"), found("go")) == ([2], [], [1])

    Offering.objects.filter(id=UUID(int=1)).delete()
    assert OfferingKey.objects.count() == 2


def test_what_ended_is_not_listed_until_it_is_announced_again() -> None:
    withdrawal = OfferingWithdraw(**head(FIRST), offering_id=f"{1:032x}", node_id=FIRST.node_id)
    take(announce(), announce(SECOND, number=2))
    take(withdrawal)
    assert found("python") == [2]

    offerings.expire_offerings(NOW + timedelta(seconds=300))
    assert not OfferingKey.objects.filter(is_open=True).exists()

    take(announce())
    assert found("python") == [1]


def test_a_renewal_writes_no_keys_and_a_new_price_moves_them() -> None:
    take(announce(price=3))
    before = list(OfferingKey.objects.values_list("id", "price_per_task"))
    take(announce(price=3, expires_at=NOW + timedelta(seconds=600)))
    assert list(OfferingKey.objects.values_list("id", "price_per_task")) == before

    take(announce(price=4))
    assert {row.price_per_task for row in OfferingKey.objects.all()} == {4}
