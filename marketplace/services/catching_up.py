"""CONSENSUS_SYNC between the two parties of payments: after loss or an old backup both agree.

A node says what it has of their common payments, by id and stage; the other answers with the
signed frames that are lacking. More payments than one message names are compared by digests of
their ids' next digit, so that two nodes that agree exchange one message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet

from marketplace.messages import (
    Certificate,
    ConsensusSyncReq,
    ConsensusSyncRsp,
    PaymentHeld,
    Stage,
)
from marketplace.models import Payment, Tribute
from marketplace.services.recovering import take_certificate
from marketplace.states import PaymentStatus
from p2p import outbox
from p2p.local import local_node
from p2p.models import KnownNode, OutboxKind, OutboxMessage
from p2p.protocol import limits
from p2p.protocol.errors import DomainError
from p2p.registration import number_of

ASK_EVERY = timedelta(minutes=10)
RECENT = timedelta(days=1)
REQUESTS_MAX = 200  # to one node in ASK_EVERY: 20,000 payments
DIGITS = "0123456789abcdef"
UNSETTLED = (PaymentStatus.PROPOSED, PaymentStatus.VOTED)
_RANK: dict[str, int] = {"proposed": 0, "voted": 1, "committed": 2}


def meet_partner(node_id: str, now: datetime) -> None:
    """Compare with a node that was just linked, where there ever was a payment between the two."""
    if _common(node_id).exists():
        _begin(node_id, returned=False, now=now)


def compare_again(now: datetime) -> None:
    """Compare every ten minutes with linked nodes that have unsettled or recent payments."""
    linked = set(KnownNode.objects.filter(connected=True).values_list("node_id", flat=True))
    asked = OutboxMessage.objects.filter(
        kind=OutboxKind.COMMAND,
        number=number_of(ConsensusSyncReq),
        created_at__gt=now - ASK_EVERY,
    )
    for node_id in sorted(linked - set(asked.values_list("to_node_id", flat=True))):
        live = Q(status__in=UNSETTLED) | Q(created_at__gte=now - RECENT)
        if _common(node_id).filter(live).exists():
            _begin(node_id, returned=False, now=now)


def take_request(request: ConsensusSyncReq, *, now: datetime) -> None:
    """Answer with what the asker lacks, and ask back once for what this node lacks.

    DomainError `not_a_party` for a node that there was never a deal with.
    """
    origin = request.origin
    named = bool(request.held) or any(request.digests)
    if not named and not _knows(origin):
        raise DomainError("not_a_party", f"there is no payment between {origin[:8]} and this node")
    lacks = (_compare_digests if request.digests else _compare_named)(request, now)
    if lacks and not request.returned:
        _begin(origin, prefix=request.prefix, returned=True, now=now)


def take_answer(answer: ConsensusSyncRsp, *, now: datetime) -> None:
    """Book what the certificates prove, and ask on where there is more."""
    booked = [
        take_certificate(certificate, origin=answer.origin, now=now)
        for certificate in answer.certificates
    ]
    # Who sends nothing new is not asked for more: an answer without end would never end.
    further = [answer.prefix] if answer.more and any(booked) else []
    longer = len(answer.prefix) + 1
    further += [p for p in answer.differ if p.startswith(answer.prefix) and len(p) == longer]
    for prefix in further:
        _ask(answer.origin, prefix=prefix, returned=True, now=now)


def _begin(node_id: str, *, prefix: str = "", returned: bool, now: datetime) -> None:
    if not _asked(node_id).filter(done_at__isnull=True).exists():
        _ask(node_id, prefix=prefix, returned=returned, now=now)


def _ask(node_id: str, *, prefix: str, returned: bool, now: datetime) -> None:
    if _asked(node_id).filter(created_at__gt=now - ASK_EVERY).count() >= REQUESTS_MAX:
        return
    ours = _stages(node_id, prefix)
    few = len(ours) <= limits.PAYMENTS_NAMED_MAX
    outbox.send_command(
        ConsensusSyncReq,
        to_node_id=node_id,
        now=now,
        prefix=prefix,
        held=[PaymentHeld(id=key, stage=stage) for key, stage in ours.items()] if few else [],
        digests=[] if few else _digests(ours, prefix),
        returned=returned,
    )


def _compare_named(request: ConsensusSyncReq, now: datetime) -> bool:
    """Send what an asker lacks that has named all it has; True when this node lacks something."""
    theirs: dict[str, Stage] = {
        each.id: each.stage for each in request.held if each.id.startswith(request.prefix)
    }
    ours = _stages(request.origin, request.prefix)
    lacking = [key for key, stage in ours.items() if _further(stage, theirs.get(key))]
    lacking += _refused_here(request.origin, theirs)
    certificates, more = _certificates(lacking)
    if certificates:
        _answer(request, certificates=certificates, more=more, now=now)
    return any(_further(stage, ours.get(key)) for key, stage in theirs.items())


def _compare_digests(request: ConsensusSyncReq, now: datetime) -> bool:
    """Name the longer prefixes that differ; True when there are any."""
    if len(request.digests) != len(DIGITS) or len(request.prefix) >= 32:
        raise DomainError("bad_request", f"{len(request.digests)} digests, 16 are needed")
    ours = _digests(_stages(request.origin, request.prefix), request.prefix)
    differ = [
        request.prefix + digit
        for digit, mine, theirs in zip(DIGITS, ours, request.digests, strict=True)
        if mine != theirs
    ]
    if differ:
        _answer(request, differ=differ, now=now)
    return bool(differ)


def _answer(
    request: ConsensusSyncReq,
    *,
    certificates: Iterable[Certificate] = (),
    differ: Iterable[str] = (),
    more: bool = False,
    now: datetime,
) -> None:
    outbox.send_command(
        ConsensusSyncRsp,
        to_node_id=request.origin,
        now=now,
        prefix=request.prefix,
        certificates=list(certificates),
        differ=list(differ),
        more=more,
    )


def _refused_here(node_id: str, theirs: dict[str, Stage]) -> list[str]:
    """Return which payments that a payer still proposes were aborted here."""
    proposed = [UUID(key) for key, stage in theirs.items() if stage == "proposed"]
    rows = _common(node_id).filter(id__in=proposed, status=PaymentStatus.ABORTED)
    return [key.hex for key in rows.values_list("id", flat=True)]


def _further(stage: str, than: str | None) -> bool:
    if stage == PaymentStatus.ABORTED or than == PaymentStatus.ABORTED:
        return False
    return than is None or _RANK[stage] > _RANK[than]


def _certificates(lacking: list[str]) -> tuple[list[Certificate], bool]:
    """Return the evidence of payments, and whether there is more than fits into one message."""
    made: list[Certificate] = []
    room = limits.CERTIFICATES_BYTES_MAX
    keys = [UUID(key) for key in lacking[: limits.PAYMENTS_NAMED_MAX]]
    for row in Payment.objects.filter(id__in=keys).order_by("id"):
        propose, vote = bytes(row.propose_frame), bytes(row.vote_frame)
        if max(len(propose), len(vote)) > limits.PAYMENT_FRAME_BYTES_MAX:
            continue  # no honest frame is so long
        room -= len(propose) + len(vote)
        if room < 0:
            return made, True
        made.append(
            Certificate(
                propose=propose.decode(),
                vote=vote.decode(),
                stage=str(row.status),  # type: ignore[arg-type]  # its column has choices
                reason=row.reason if row.status == PaymentStatus.ABORTED else "",
            )
        )
    return made, len(lacking) > limits.PAYMENTS_NAMED_MAX


def _stages(node_id: str, prefix: str) -> dict[str, Stage]:
    """Return how far each payment with a node has come here; one that was aborted is none."""
    rows = _common(node_id, prefix).exclude(status=PaymentStatus.ABORTED).order_by("id")
    return {key.hex: status for key, status in rows.values_list("id", "status")}  # type: ignore[misc]


def _digests(stages: dict[str, Stage], prefix: str) -> list[str]:
    """Return a digest of the ids and stages for each next digit, empty where there are none."""
    parts: dict[str, list[str]] = {digit: [] for digit in DIGITS}
    for key in sorted(stages):
        parts[key[len(prefix)]].append(f"{key}:{stages[key]}")
    return [_digest(parts[digit]) for digit in DIGITS]


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32] if lines else ""


def _common(node_id: str, prefix: str = "") -> QuerySet[Payment]:
    own = local_node().node_id
    rows = Payment.objects.filter(
        Q(payer_node_id=own, payee_node_id=node_id) | Q(payer_node_id=node_id, payee_node_id=own)
    )
    if not prefix:
        return rows
    first, last = prefix.ljust(32, "0"), prefix.ljust(32, "f")
    return rows.filter(id__gte=first, id__lte=last)


def _knows(node_id: str) -> bool:
    deals = Tribute.objects.filter(Q(from_node_id=node_id) | Q(to_node_id=node_id))
    return _common(node_id).exists() or deals.exists()


def _asked(node_id: str) -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(to_node_id=node_id, number=number_of(ConsensusSyncReq))
