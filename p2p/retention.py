"""How long the mesh keeps what it no longer needs."""

from __future__ import annotations

from datetime import datetime, timedelta

from p2p import parking, watermarks
from p2p.models import InboxMessage, OutboxKind, OutboxMessage
from p2p.posts.services import forget_outlived
from p2p.record_store import remove_expired

EVENTS_KEPT = 2000  # how far back a browser can resume
SENT_KEPT = timedelta(days=1)
INBOX_KEPT = timedelta(days=30)  # far longer than any command is repeated


def forget_old(now: datetime) -> None:
    """Forget expired records and posts, events beyond EVENTS_KEPT, and old inbox and outbox."""
    remove_expired(now)
    forget_outlived(now)
    watermarks.forget_idle()
    parking.forget_old(now)
    newest = OutboxMessage.objects.filter(kind=OutboxKind.EVENT).order_by("-id")
    for edge in newest.values_list("id", flat=True)[EVENTS_KEPT : EVENTS_KEPT + 1]:
        OutboxMessage.objects.filter(kind=OutboxKind.EVENT, id__lte=edge).delete()
    sent = OutboxMessage.objects.filter(done_at__lt=now - SENT_KEPT)
    sent.exclude(kind=OutboxKind.EVENT).delete()
    InboxMessage.objects.filter(received_at__lt=now - INBOX_KEPT).delete()
