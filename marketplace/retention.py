"""How long the marketplace keeps what it no longer needs."""

from __future__ import annotations

from datetime import datetime, timedelta

from marketplace.models import Offering, OfferingEvent
from p2p.local import local_node

ENDED_OFFERINGS_KEPT = timedelta(days=1)
OWN_OFFERINGS_KEPT = timedelta(days=30)
ENDED_OFFERINGS_MAX = 20_000  # of others, newest kept


def forget_old(now: datetime) -> None:
    """Forget offerings that ran out long ago: every stranger of the network adds to them.

    This node's own are kept longer, with their history.
    """
    own_id = local_node().node_id
    others = Offering.objects.exclude(node_id=own_id).filter(expires_at__lt=now)
    others.filter(expires_at__lt=now - ENDED_OFFERINGS_KEPT).delete()
    surplus = others.order_by("-expires_at").values_list("expires_at", flat=True)
    last = surplus[ENDED_OFFERINGS_MAX : ENDED_OFFERINGS_MAX + 1]
    for oldest_kept in last:
        others.filter(expires_at__lte=oldest_kept).delete()
    Offering.objects.filter(node_id=own_id, expires_at__lt=now - OWN_OFFERINGS_KEPT).delete()
    OfferingEvent.objects.filter(created_at__lt=now - OWN_OFFERINGS_KEPT).delete()
