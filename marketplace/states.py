"""Statuses and choices of the marketplace, and the table of a tribute's allowed moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import TextChoices

S = TypeVar("S", bound=TextChoices)


class Side(TextChoices):
    """On which side of a tribute a node is."""

    BUYER = "buyer"
    SELLER = "seller"


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


@dataclass(frozen=True)
class SideMove(Generic[S]):
    """One allowed move of a row that buyer and seller each keep: by which side, and why."""

    source: S
    target: S
    side: Side
    why: str


def _moves(source: S, target: S, sides: tuple[Side, ...], why: str) -> tuple[SideMove[S], ...]:
    return tuple(SideMove(source, target, side, why) for side in sides)


_T = TributeStatus
_B, _S, _BOTH = (Side.BUYER,), (Side.SELLER,), (Side.BUYER, Side.SELLER)
TRIBUTE_MOVES: tuple[SideMove[TributeStatus], ...] = (
    *_moves(_T.PENDING, _T.ACCEPTED, _S, "agents are reserved"),
    *_moves(_T.PENDING, _T.ACCEPTED, _B, "the acceptance came before the deadline"),
    *_moves(_T.PENDING, _T.REJECTED, _S, "a rule or the operator says no"),
    *_moves(_T.PENDING, _T.REJECTED, _B, "the seller said no"),
    *_moves(_T.PENDING, _T.EXPIRED, _BOTH, "nobody answered before the deadline"),
    *_moves(_T.PENDING, _T.CANCELLED, _BOTH, "the buyer, or the seller, wants it no more"),
    *_moves(_T.ACCEPTED, _T.COMPLETED, _BOTH, "all is settled, something was accepted"),
    *_moves(_T.ACCEPTED, _T.FAILED, _BOTH, "all is settled, nothing was accepted"),
    *_moves(_T.ACCEPTED, _T.CANCELLED, _BOTH, "all was given back or taken back"),
    *_moves(_T.ACCEPTED, _T.CANCELLED, _S, "nothing was assigned before the reservation ended"),
)
TRIBUTE_TERMINAL = frozenset({_T.REJECTED, _T.EXPIRED, _T.CANCELLED, _T.COMPLETED, _T.FAILED})

_E = ExecutionStatus
EXECUTION_MOVES: tuple[SideMove[ExecutionStatus], ...] = (
    *_moves(_E.OPEN, _E.CANCELLING, _B, "the buyer asks for it back"),
    *_moves(_E.CANCELLING, _E.CANCELLED, _B, "the seller gave it back, or its deadline passed"),
    *_moves(_E.CANCELLING, _E.OPEN, _B, "the seller had reported before"),
    *_moves(_E.OPEN, _E.CANCELLED, _S, "the buyer took it back before a report"),
    *_moves(_E.OPEN, _E.CANCELLED, _BOTH, "no report before the work deadline"),
    *_moves(_E.OPEN, _E.ACCEPTED, _B, "there is the evidence that the policy names; it is paid"),
    *_moves(_E.OPEN, _E.ACCEPTED, _S, "the verdict or the payment says so"),
    *_moves(_E.OPEN, _E.REFUSED, _B, "it was not begun, or no result was accepted"),
    *_moves(_E.OPEN, _E.REFUSED, _S, "the verdict says so"),
)
EXECUTION_TERMINAL = frozenset({_E.ACCEPTED, _E.REFUSED, _E.CANCELLED})


def sources_of(moves: tuple[SideMove[S], ...], target: S, side: Side) -> frozenset[S]:
    """Return the statuses from which a side may move its row to `target`; empty when never."""
    return frozenset(m.source for m in moves if m.target == target and m.side == side)
