"""Noticing that our own numbering is ahead of us elsewhere: this home is an old copy."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from p2p import clock, outbox
from p2p.local import incarnation, local_node, raise_incarnation_above
from p2p.models import NodeState
from p2p.models import Record as StoredRecord
from p2p.protocol.codec import Received, decode_payload
from p2p.protocol.messages import Record
from p2p.registration import registry
from p2p.sync.judging import mark_of
from p2p.sync.marks import Mark, Span
from p2p.sync.own_numbers import seen_ahead
from p2p.watermarks import own_mark

log = logging.getLogger(__name__)

CLAIMS_BELIEVED_EVERY = timedelta(hours=1)
_BELIEVED_AT = "own_claim_believed_at"
_LIFE_BEGAN = "life_began"  # our clock at the last start
_NUMBERS = frozenset(("origin", "public_key", "lamport_ts", "incarnation", "seq"))


def notice_pushed(topic: str, seen: tuple[int, int], lamport_ts: int, now: datetime) -> bool:
    """Number anew when (incarnation, seq) of a pushed record of ours is ahead of us.

    Our clock moves past its stamp: what we write from now on is later. Returns whether it was.
    """
    own, mark = own_mark(topic), Mark(*seen)
    if mark <= own:
        return False
    clock.witness(lamport_ts, now)
    _begin_anew(topic, own, mark, now)
    publish_again(now)
    return True


def notice(
    topic: str,
    covers: Iterable[tuple[str, Span]],
    records: Iterable[Received[Record]],
    now: datetime,
) -> bool:
    """Number anew when a page shows that our numbering went further than we know.

    A hint without proof (`p2p.sync.own_numbers`) is believed once an hour. Returns whether the
    numbering is new: `publish_again` is then due, after the page is stored.
    """
    own_id = local_node().node_id
    signed = [mark_of(each.message) for each in records if each.message.origin == own_id]
    claimed = [span.through for origin, span in covers if origin == own_id]
    if not signed and not claimed:
        return False
    own = own_mark(topic)
    seen = seen_ahead(
        own,
        signed=signed,
        claimed=claimed,
        now_s=int(now.timestamp()),
        may_believe=lambda: _may_believe(now),
    )
    if seen is None:
        return False
    _begin_anew(topic, own, seen, now)
    return True


def begin_life(now: datetime) -> None:
    """Note that the node starts: what it writes from now on is not part of any older backup."""
    with transaction.atomic():
        value = str(clock.tick(now))
        NodeState.objects.update_or_create(key=_LIFE_BEGAN, defaults={"value": value})


def publish_again(now: datetime) -> int:
    """Publish what this node wrote since it started, under earlier incarnations, anew.

    Those numbers may have been used before, by the life that this home has forgotten. What is
    older came with the backup and is left alone: peers have it, or what replaced or removed it,
    against which a new copy would win. Returns how many there were.
    """
    with transaction.atomic():
        current = incarnation()
        own = StoredRecord.objects.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=now),
            origin=local_node().node_id,
            incarnation__lt=current,
            lamport_ts__gt=_life_began(),
        )
        frames = [bytes(frame) for frame in own.order_by("id").values_list("frame", flat=True)]
        for record in _records_in(frames):
            fields = {
                name: getattr(record, name)
                for name in record.__struct_fields__
                if name not in _NUMBERS
            }
            outbox.publish_record(type(record), now=now, **fields)
    if frames:
        log.warning("%d own records are published anew, incarnation %d", len(frames), current)
    return len(frames)


def _life_began() -> int:
    row = NodeState.objects.filter(key=_LIFE_BEGAN).first()
    return 0 if row is None else int(row.value)


def _records_in(frames: Iterable[bytes]) -> list[Record]:
    decoded = [decode_payload(frame, registry) for frame in frames]
    return [
        each.message
        for each in decoded
        if isinstance(each, Received) and isinstance(each.message, Record)
    ]


def _may_believe(now: datetime) -> bool:
    """Tell whether no hint was believed within the last hour; from now on one was."""
    row, is_new = NodeState.objects.get_or_create(
        key=_BELIEVED_AT, defaults={"value": now.isoformat()}
    )
    if is_new:
        return True
    if now - datetime.fromisoformat(row.value) < CLAIMS_BELIEVED_EVERY:
        return False
    NodeState.objects.filter(key=_BELIEVED_AT).update(value=now.isoformat())
    return True


def _begin_anew(topic: str, own: Mark, seen: Mark, now: datetime) -> None:
    raised = raise_incarnation_above(max(seen.incarnation, own.incarnation), now)
    log.warning(
        "others know our records of %s up to %d.%d, we up to %d.%d: this home is an old copy; "
        "its records are numbered anew, incarnation %d",
        *(topic, *seen, *own, raised),
    )
