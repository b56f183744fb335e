"""Offerings as records of the network: who may write them, how long they count, what they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from marketplace.messages import OfferingAnnounce, OfferingWithdraw
from marketplace.models import Offering
from marketplace.services.offering_rows import mark_withdrawn, row_of, store, tell
from p2p.nodes import Heard, remember_addresses
from p2p.protocol.errors import ProtocolError
from p2p.protocol.messages import Record
from p2p.protocol.timestamps import from_timestamp
from p2p.registration import Authority

TTL_MAX_S = 86_400  # an offering that claims to live longer is not believed


def authority_of(record: Record) -> Authority:
    """Only the seller writes its offering, and only for a believable time."""
    return authority_in([record])(record)


def authority_in(records: Sequence[Record]) -> Callable[[Record], Authority]:
    """Return that rule for a batch: whose the known offerings are is read once.

    Of two nodes that announce the same new offering in one batch the first is its seller.
    """
    ids = [UUID(each.key()) for each in records]
    sellers = dict(Offering.objects.filter(id__in=ids).values_list("id", "node_id"))
    for each in records:
        if _is_sound(each):
            sellers.setdefault(UUID(each.key()), each.origin)

    def rule(record: Record) -> Authority:
        same_seller = sellers.get(UUID(record.key()), record.origin) == record.origin
        return Authority.APPLY if same_seller and _is_sound(record) else Authority.NEVER

    return rule


def expires_at_of(record: Record) -> datetime | None:
    """Return when an announcement stops to count, at most a day on; tombstones last 7 days."""
    if isinstance(record, OfferingAnnounce):
        # Every node keeps it and hands it on until then, whatever its seller claims.
        last_at = _written_at(record) + timedelta(seconds=TTL_MAX_S)
        return min(from_timestamp(record.offering.expires_at), last_at)
    return _written_at(record) + timedelta(days=7)


def apply_records(records: Sequence[Record], now: datetime) -> None:
    """Bring the offerings up to the records that won; the same queries for any number of them."""
    announced = [_row_of(each) for each in records if isinstance(each, OfferingAnnounce)]
    known = store(announced)
    remember_addresses({row.node_id: Heard(row.swarm, row.addresses) for row in announced}, now)
    withdrawn = [UUID(each.key()) for each in records if isinstance(each, OfferingWithdraw)]
    # One that ran out on its way is history at once: the sweep tells of its end.
    live = [row for row in announced if row.expires_at > now]
    tell(
        [
            *((row, "renewed" if row.id in known else "announced") for row in live),
            *((row, "withdrawn") for row in mark_withdrawn(withdrawn, now)),
        ],
        now,
    )


def _is_sound(record: Record) -> bool:
    """Tell whether a record speaks of an offering of its own origin that does not end too soon."""
    if isinstance(record, OfferingWithdraw):
        return record.node_id == record.origin
    assert isinstance(record, OfferingAnnounce)
    body = record.offering
    try:
        lasts = from_timestamp(body.expires_at) - from_timestamp(body.created_at)
    except ProtocolError:
        return False  # an impossible date spoils no other record of its batch
    return body.node_id == record.origin and lasts >= timedelta(0)


def _row_of(record: OfferingAnnounce) -> Offering:
    expires_at = expires_at_of(record)
    assert expires_at is not None, "announcements end"
    return row_of(record.offering, expires_at)


def _written_at(record: Record) -> datetime:
    return datetime.fromtimestamp(record.lamport_ts / 1000, tz=UTC)
