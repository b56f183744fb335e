"""Statuses and choices of the marketplace, and the table of a tribute's allowed moves."""

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
    CANCELLING = "cancelling"  # the buyer wants it back, the seller has not answered
    ACCEPTED = "accepted"
    REFUSED = "refused"
    CANCELLED = "cancelled"


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


class RequeuePolicy(TextChoices):
    """What the price covers (design §8, "Requeues")."""

    ACCEPTED_RESULT = "accepted_result"  # one accepted result, re-runs included
    EXECUTION = "execution"  # one run that pushed a commit which the remote shows


class OfferingState(TextChoices):
    """What an offering is now; read from its times, so that it needs nobody to move it."""

    LIVE = "live"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class OfferingChange(TextChoices):
    """What happened to an offering of this node."""

    ANNOUNCED = "announced"
    RESIZED = "resized"  # another number of agents
    CHANGED = "changed"  # price, capabilities or conditions
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class EndReason(TextChoices):
    """Why an offering of this node ended."""

    OPERATOR = "operator"  # selling was switched off
    OUTSIDE_HOURS = "outside_hours"
    SOLD_OUT = "sold_out"
    NO_IDLE_AGENTS = "no_idle_agents"  # busy, kept or wanted for own work, paused or gone
    NO_SANDBOX = "no_sandbox"  # and the owner sells in one only
    SHUTDOWN = "shutdown"
    REPLACED = "replaced"  # a second one of this node, which came back from its peers
    EXPIRED = "expired"


class Isolation(TextChoices):
    """What sold work runs in."""

    SANDBOX = "sandbox"
    WORKTREE = "worktree"


class Acceptance(TextChoices):
    """Whose requests a seller accepts without being asked."""

    AUTO = "auto"  # the allow-list and approved partners; a stranger's first waits
    ALLOWLIST = "allowlist"  # the allow-list only; everybody else is rejected
    MANUAL = "manual"  # nobody's


class Standing(TextChoices):
    """What the operator decided about a partner."""

    STRANGER = "stranger"
    APPROVED = "approved"
    BLOCKED = "blocked"


class RejectCode(TextChoices):
    """Why a seller rejects a tribute; a buyer keeps codes that it does not know."""

    OFFERING_GONE = "offering_gone"
    NO_IDLE_AGENTS = "no_idle_agents"
    WRONG_PRICE = "wrong_price"
    WRONG_POLICY = "wrong_policy"
    BAD_REPOSITORY = "bad_repository"
    REMOTE_NOT_WRITABLE = "remote_not_writable"
    NOT_ALLOWED = "not_allowed"
    BUYER_LIMIT = "buyer_limit"
    CREDIT_LIMIT = "credit_limit"
    OUTSIDE_HOURS = "outside_hours"
    REFUSED = "refused"  # by the operator
    EXPIRED = "expired"
    INTERNAL = "internal"


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
