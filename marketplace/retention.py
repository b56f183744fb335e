"""How long the marketplace keeps what it no longer needs."""

from __future__ import annotations

from datetime import datetime, timedelta

from marketplace.models import Offering

ENDED_OFFERINGS_KEPT = timedelta(days=1)


def forget_old(now: datetime) -> None:
    """Forget offerings that ran out long ago: every stranger of the network adds to them."""
    Offering.objects.filter(expires_at__lt=now - ENDED_OFFERINGS_KEPT).delete()
