"""The part of a verification that reads signed frames: payments, deals and reports."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from marketplace.messages import TributeAccept, TributeRequest
from marketplace.models import Execution, LedgerEntry, Payment, Tribute
from marketplace.services.certificates import open_frame, prove
from marketplace.services.differences import Difference
from marketplace.services.tributes import deal_hash
from marketplace.states import EntryKind, ExecutionStatus, PaymentStatus
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.messages import TaskComplete

_CREDITED = (PaymentStatus.VOTED, PaymentStatus.COMMITTED)


def captures_proven() -> Iterator[Difference]:
    """Each capture has a payment with this node's own signed proposal."""
    for entry in LedgerEntry.objects.filter(kind=EntryKind.CAPTURE).order_by("id").iterator():
        payment = _payment_of(entry)
        where = f"ledger entry {entry.id} (capture)"
        if payment is None or payment.payer_node_id != local_node().node_id:
            yield Difference(where, f"a payment {entry.reference} of this node", "none")
            continue
        yield from _entry_matches(where, entry, payment)
        yield from _payment_proven(payment)


def credits_proven() -> Iterator[Difference]:
    """Each credit has the payer's signed proposal and this node's own signed vote.

    One that takes an aborted payment back has the capture that it undoes instead.
    """
    for entry in LedgerEntry.objects.filter(kind=EntryKind.CREDIT).order_by("id").iterator():
        payment = _payment_of(entry)
        where = f"ledger entry {entry.id} (credit)"
        if payment is None:
            yield Difference(where, f"a payment {entry.reference}", "none")
            continue
        yield from _entry_matches(where, entry, payment)
        if payment.payer_node_id == local_node().node_id:
            yield from _taken_back(where, entry, payment)
        else:
            if payment.status not in _CREDITED:
                yield Difference(where, "a payment that was voted for", payment.status)
            yield from _payment_proven(payment)


def payments_booked() -> Iterator[Difference]:
    """Each payment has its entry: a capture at the payer, a credit at the payee."""
    own = local_node().node_id
    captured = _references(EntryKind.CAPTURE)
    credited = _references(EntryKind.CREDIT)
    for payment in Payment.objects.order_by("created_at", "id").iterator():
        where = f"payment {payment.id.hex}"
        if payment.payer_node_id == own and payment.uncovered == 0:
            if payment.id.hex not in captured:
                yield Difference(where, "a capture", "none")
            if payment.status == PaymentStatus.ABORTED and payment.id.hex not in credited:
                yield Difference(where, "a credit that takes it back", "none")
        taken = payment.payee_node_id == own and payment.status in _CREDITED
        if taken and payment.id.hex not in credited:
            yield Difference(where, "a credit", "none")
        if payment.uncovered:
            yield from _payment_proven(payment)


def deals_proven() -> Iterator[Difference]:
    """The hash of each deal is that of both sides' signed frames."""
    for tribute in Tribute.objects.exclude(tx_hash="").order_by("created_at", "id").iterator():
        where = f"tribute {tribute.id.hex}"
        request, answer = bytes(tribute.request_frame), bytes(tribute.answer_frame)
        if (hashed := deal_hash(request, answer)) != tribute.tx_hash:
            yield Difference(where, f"tx_hash {hashed} of both frames", tribute.tx_hash)
            continue
        try:
            asked = open_frame(request, TributeRequest)
            accepted = open_frame(answer, TributeAccept)
        except DomainError as broken:
            yield Difference(where, "both sides' signed frames", str(broken))
            continue
        body = asked.tribute
        found = (body.id, asked.origin, accepted.origin, accepted.tribute_id, body.total_cost)
        expected = (
            *(tribute.id.hex, tribute.from_node_id, tribute.to_node_id),
            *(tribute.id.hex, tribute.total_cost),
        )
        if found != expected:
            yield Difference(where, _listed(expected), _listed(found))


def reports_proven() -> Iterator[Difference]:
    """Each accepted result whose report is kept was reported by the seller with that commit."""
    accepted = Execution.objects.filter(status=ExecutionStatus.ACCEPTED).select_related("tribute")
    for execution in accepted.exclude(report_frame=b"").order_by("id").iterator():
        where = f"the report on task {execution.task_id.hex}"
        try:
            report = open_frame(bytes(execution.report_frame), TaskComplete)
        except DomainError as broken:
            yield Difference(where, "the seller's signed frame", str(broken))
            continue
        expected = (execution.tribute.to_node_id, execution.task_id.hex, execution.commit)
        found = (report.origin, report.task_id, report.commit)
        if found != expected:
            yield Difference(where, _listed(expected), _listed(found))


def _payment_proven(payment: Payment) -> Iterator[Difference]:
    """The row says what its frames say, and has the signatures that its status needs."""
    where = f"payment {payment.id.hex}"
    if payment.status in _CREDITED and not payment.vote_frame:
        yield Difference(where, "the payee's signed vote", "none")
        return
    try:
        proposal = prove(bytes(payment.propose_frame), bytes(payment.vote_frame)).proposal
    except DomainError as broken:
        yield Difference(where, "both sides' signed frames", str(broken))
        return
    expected: tuple[object, ...] = (
        *(payment.id.hex, payment.payer_node_id),
        *(payment.payee_node_id, payment.amount),
    )
    found: tuple[object, ...] = (
        *(proposal.id, proposal.from_node_id),
        *(proposal.to_node_id, proposal.amount),
    )
    execution = payment.execution
    if execution is not None:
        expected += (execution.tribute_id.hex, execution.task_id.hex, execution.run)
        found += (proposal.tribute_id, proposal.task_id, proposal.run)
    if expected != found:
        yield Difference(where, f"{_listed(found)} as it was signed", _listed(expected))


def _entry_matches(where: str, entry: LedgerEntry, payment: Payment) -> Iterator[Difference]:
    if entry.amount != payment.amount:
        yield Difference(where, f"{payment.amount} VOID of its payment", f"{entry.amount} VOID")


def _taken_back(where: str, entry: LedgerEntry, payment: Payment) -> Iterator[Difference]:
    if payment.status != PaymentStatus.ABORTED:
        yield Difference(where, "an aborted payment that is taken back", payment.status)
    captured = LedgerEntry.objects.filter(kind=EntryKind.CAPTURE, reference=entry.reference)
    if not captured.exists():
        yield Difference(where, "a capture that is taken back", "none")


def _payment_of(entry: LedgerEntry) -> Payment | None:
    try:
        key = UUID(entry.reference)
    except ValueError:
        return None
    return Payment.objects.select_related("execution").filter(id=key).first()


def _references(kind: EntryKind) -> set[str]:
    return set(LedgerEntry.objects.filter(kind=kind).values_list("reference", flat=True))


def _listed(values: tuple[object, ...]) -> str:
    return " ".join(str(value) for value in values)
