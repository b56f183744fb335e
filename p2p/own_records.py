"""What becomes of this node's own records when its home turns out to be an old copy."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from p2p import outbox
from p2p.local import incarnation, local_node, raise_incarnation_above
from p2p.models import Record as StoredRecord
from p2p.models import TopicSequence
from p2p.protocol.codec import Received, decode_payload
from p2p.protocol.messages import Record
from p2p.registration import registry

log = logging.getLogger(__name__)

_NUMBERS = frozenset(("origin", "public_key", "lamport_ts", "incarnation", "seq"))


def note_own_record(topic: str, seen: tuple[int, int], now: datetime) -> bool:
    """Begin a new incarnation when (incarnation, seq) of a record in our name is ahead of ours.

    Returns whether it was: then this node's home came from an old backup. What it wrote under
    the old numbers would lose against what it wrote before, so it says it all again.
    """
    current = incarnation()
    row = TopicSequence.objects.filter(topic=topic, incarnation=current).first()
    known = (current, row.seq if row else 0)
    if seen <= known:
        return False
    raised = raise_incarnation_above(seen[0])
    log.warning(
        "a peer holds record %d.%d of topic %s in our name, ours end at %d.%d: this home is an "
        "old copy; %d records are published anew under incarnation %d",
        *(*seen, topic, *known, publish_again(now), raised),
    )
    return True


def publish_again(now: datetime) -> int:
    """Publish every record of this node that still counts under new numbers; return how many."""
    with transaction.atomic():
        own = StoredRecord.objects.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=now), origin=local_node().node_id
        )
        frames = [bytes(frame) for frame in own.order_by("id").values_list("frame", flat=True)]
        records = [
            received.message
            for frame in frames
            if isinstance(received := decode_payload(frame, registry), Received)
            and isinstance(received.message, Record)
        ]
        for record in records:
            fields = {
                name: getattr(record, name)
                for name in record.__struct_fields__
                if name not in _NUMBERS
            }
            outbox.publish_record(type(record), now=now, **fields)
    return len(records)
