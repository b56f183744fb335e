"""Noticing that our own numbering is ahead of us elsewhere: a database from an old backup."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from p2p.local import local_node, raise_incarnation_above
from p2p.models import NodeState
from p2p.protocol.codec import Received
from p2p.protocol.limits import INCARNATION_JUMP_MAX
from p2p.protocol.messages import Record
from p2p.sync.judging import mark_of
from p2p.sync.marks import Mark, Span
from p2p.watermarks import own_mark

log = logging.getLogger(__name__)

CLAIMS_BELIEVED_EVERY = timedelta(hours=1)
_BELIEVED_AT = "own_claim_believed_at"


def notice(
    topic: str,
    covers: Iterable[tuple[str, Span]],
    records: Iterable[Received[Record]],
    now: datetime,
) -> None:
    """Begin our numbering anew when a page shows that it went further than we know.

    Our own signature is proof. An unsigned statement is only a hint, which costs little to
    follow: it is believed once an hour, and not when it is far away from our own numbering.
    """
    own_id = local_node().node_id
    signed = [mark_of(each.message) for each in records if each.message.origin == own_id]
    claimed = [span.through for origin, span in covers if origin == own_id]
    if not signed and not claimed:
        return
    own = own_mark(topic)
    if signed and max(signed) > own:
        _begin_anew(topic, own, max(signed))
    elif claimed and max(claimed) > own and _is_believed(own, max(claimed), now):
        _begin_anew(topic, own, max(claimed))


def _is_believed(own: Mark, claimed: Mark, now: datetime) -> bool:
    if claimed.incarnation - own.incarnation > INCARNATION_JUMP_MAX:
        return False
    row, is_new = NodeState.objects.get_or_create(
        key=_BELIEVED_AT, defaults={"value": now.isoformat()}
    )
    if is_new:
        return True
    if now - datetime.fromisoformat(row.value) < CLAIMS_BELIEVED_EVERY:
        return False
    NodeState.objects.filter(key=_BELIEVED_AT).update(value=now.isoformat())
    return True


def _begin_anew(topic: str, own: Mark, seen: Mark) -> None:
    raised = raise_incarnation_above(max(seen.incarnation, own.incarnation))
    log.warning(
        "others know our records of %s up to %d.%d, we up to %d.%d: an old backup? "
        "Numbering begins anew with incarnation %d",
        *(topic, *seen, *own, raised),
    )
