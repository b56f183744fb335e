"""Statuses of the marketplace and the table of a tribute's allowed moves."""

from __future__ import annotations

from django.db.models import TextChoices


class TributeStatus(TextChoices):
    """Where a tribute is between its request and its settlement."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    FAILED = "failed"


class ExecutionStatus(TextChoices):
    """Where one paid-for execution of a tribute is."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class PaymentStatus(TextChoices):
    """Where a payment between two nodes is; captured money never goes back but by an abort."""

    PROPOSED = "proposed"
    VOTED = "voted"
    COMMITTED = "committed"
    ABORTED = "aborted"


class EntryKind(TextChoices):
    """What a ledger entry does to balance and held amount."""

    GRANT = "grant"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    CREDIT = "credit"


_T = TributeStatus
TRIBUTE_MOVES: frozenset[tuple[TributeStatus, TributeStatus]] = frozenset(
    {
        (_T.PENDING, _T.ACCEPTED),
        (_T.PENDING, _T.REJECTED),
        (_T.PENDING, _T.EXPIRED),
        (_T.PENDING, _T.CANCELLED),
        (_T.ACCEPTED, _T.COMPLETED),
        (_T.ACCEPTED, _T.FAILED),
        (_T.ACCEPTED, _T.CANCELLED),
    }
)
TRIBUTE_TERMINAL = frozenset({_T.REJECTED, _T.EXPIRED, _T.CANCELLED, _T.COMPLETED, _T.FAILED})


def tribute_sources_of(target: TributeStatus) -> frozenset[TributeStatus]:
    """Return the statuses from which a tribute may move to `target`."""
    return frozenset(source for source, to in TRIBUTE_MOVES if to == target)
