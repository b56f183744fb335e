"""What this node knows of the remotes that buyers name, by the pushes that it has tried."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import QuerySet

from marketplace.models import Tribute
from p2p.local import local_node

TRIAL_COUNTS_S = 600.0


def note_trial(tribute: Tribute, *, writable: bool, now: datetime) -> None:
    """Remember that a push would be taken, or forget that pushes to this remote ever were."""
    if writable:
        Tribute.objects.filter(id=tribute.id).update(tried_at=now)
    else:
        _trials(tribute).update(tried_at=None)


def was_tried(tribute: Tribute, now: datetime) -> bool:
    """Tell whether the same branch of the same remote could be pushed to some minutes ago.

    A trial costs a conversation with the remote and a job; only trials count, so that what is
    accepted by memory does not prolong it.
    """
    since = now - timedelta(seconds=TRIAL_COUNTS_S)
    return _trials(tribute).filter(ref=tribute.ref, tried_at__gt=since).exists()


def _trials(tribute: Tribute) -> QuerySet[Tribute]:
    return Tribute.objects.filter(to_node_id=local_node().node_id, repository=tribute.repository)
