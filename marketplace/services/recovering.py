"""Books what a certificate proves and this node's own books have lost."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from marketplace.messages import Certificate, ProposalBody
from marketplace.models import Execution, Payment, Tribute
from marketplace.services import payments, wallet
from marketplace.services.certificates import Proven, prove
from marketplace.services.sales import settle_sale
from marketplace.services.settlement import close_if_settled
from marketplace.states import EntryKind, ExecutionStatus, PaymentStatus, TributeStatus
from p2p.local import local_node
from p2p.protocol.errors import DomainError

_OPEN = (ExecutionStatus.OPEN, ExecutionStatus.CANCELLING)


def take_certificate(certificate: Certificate, *, origin: str, now: datetime) -> bool:
    """Bring a payment as far as its evidence shows; True when anything was booked or closed.

    DomainError `not_certified` where the frames do not prove it, `not_a_party` where it is not
    between `origin` and this node; nothing is changed then.
    """
    proven = prove(certificate.propose.encode(), certificate.vote.encode())
    proposal = proven.proposal
    if {proposal.from_node_id, proposal.to_node_id} != {origin, local_node().node_id}:
        raise DomainError(
            "not_a_party", f"payment {proposal.id} is not between {origin[:8]} and this node"
        )
    payment = Payment.objects.filter(id=UUID(proposal.id)).first()
    ours = proposal.from_node_id == local_node().node_id
    with transaction.atomic():
        moved = (_as_payer if ours else _as_payee)(certificate, proven, payment, now)
        if moved:
            _settle(proposal, now)
    return moved


def _as_payer(
    certificate: Certificate, proven: Proven, payment: Payment | None, now: datetime
) -> bool:
    proposal = proven.proposal
    if payment is None:
        if not proven.vote_frame:
            return False  # without the payee's signature nothing was ever credited
        _capture_again(proven, now)
        return True
    if payment.status != PaymentStatus.PROPOSED:
        return False
    if certificate.stage == "aborted":
        payments.take_abort(
            payment.id, origin=proposal.to_node_id, reason=certificate.reason, now=now
        )
        return True
    if proven.vote_frame:
        payments.take_vote(payment.id, voter=proposal.to_node_id, frame=proven.vote_frame, now=now)
        return True
    return False


def _as_payee(
    certificate: Certificate, proven: Proven, payment: Payment | None, now: datetime
) -> bool:
    proposal = proven.proposal
    if payment is not None and payment.status == PaymentStatus.ABORTED and proven.vote_frame:
        # Refused after a restore that had forgotten this node's own vote, which binds it.
        payment.delete()
        payment = None
    if payment is None and proven.vote_frame:
        _credit_again(proven, closed=certificate.stage == "committed", now=now)
        return True
    if payment is None:
        payments.take_proposal(
            proposal, origin=proposal.from_node_id, frame=proven.propose_frame, now=now
        )
        return True
    if payment.status == PaymentStatus.VOTED and certificate.stage == "committed":
        payments.take_commit(payment.id, origin=proposal.from_node_id, now=now)
        return True
    return False


def _capture_again(proven: Proven, now: datetime) -> None:
    """Book a promise of this node from its own signature, from the tribute's hold if it stands."""
    execution, held = _execution_of(proven.proposal, now)
    payment = _store(proven, execution, PaymentStatus.COMMITTED, now)
    movement = _movement(EntryKind.CAPTURE, proven.proposal, proven.proposal.to_node_id)
    if held:
        wallet.move(movement, now=now)
    else:
        wallet.capture_late(payment, movement, now=now)
    payments.send_commit(payment, now=now)


def _credit_again(proven: Proven, *, closed: bool, now: datetime) -> None:
    """Book a credit of this node that its own vote and the payer's signature prove."""
    execution, _ = _execution_of(proven.proposal, now)
    status = PaymentStatus.COMMITTED if closed else PaymentStatus.VOTED
    _store(proven, execution, status, now)
    movement = _movement(EntryKind.CREDIT, proven.proposal, proven.proposal.from_node_id)
    wallet.move(movement, now=now)


def _execution_of(proposal: ProposalBody, now: datetime) -> tuple[Execution | None, bool]:
    """Return the execution that is paid, accepted now, and whether its price is still held.

    None where this node has lost the tribute or it has no room: the payment then stands alone.
    """
    tribute = Tribute.objects.filter(
        id=UUID(proposal.tribute_id),
        from_node_id=proposal.from_node_id,
        to_node_id=proposal.to_node_id,
        price_per_task=proposal.amount,
    ).first()
    if tribute is None:
        return None, False
    found = tribute.executions.filter(task_id=UUID(proposal.task_id), run=proposal.run).first()
    if found is not None:
        held = found.status in _OPEN
        Execution.objects.filter(id=found.id).update(
            status=ExecutionStatus.ACCEPTED, commit=proposal.commit, closed_at=now
        )
        return found, held
    room = tribute.task_count - tribute.released_count - tribute.executions.count()
    if tribute.status != TributeStatus.ACCEPTED or room <= 0:
        return None, False
    made = Execution.objects.create(
        tribute=tribute,
        task_id=UUID(proposal.task_id),
        run=proposal.run,
        status=ExecutionStatus.ACCEPTED,
        commit=proposal.commit,
        reason="known from its payment alone",
        opened_at=now,
        closed_at=now,
    )
    return made, True


def _store(
    proven: Proven, execution: Execution | None, status: PaymentStatus, now: datetime
) -> Payment:
    proposal = proven.proposal
    return Payment.objects.create(
        id=UUID(proposal.id),
        execution=execution,
        payer_node_id=proposal.from_node_id,
        payee_node_id=proposal.to_node_id,
        amount=proposal.amount,
        status=status,
        reason="booked from its certificate",
        propose_frame=proven.propose_frame,
        vote_frame=proven.vote_frame,
        created_at=now,
        closed_at=now if status == PaymentStatus.COMMITTED else None,
    )


def _movement(kind: EntryKind, proposal: ProposalBody, counterparty: str) -> wallet.Movement:
    return wallet.Movement(
        kind=kind,
        reference=proposal.id,
        amount=proposal.amount,
        tribute_id=UUID(proposal.tribute_id),
        counterparty_node_id=counterparty,
        note="booked from its certificate",
    )


def _settle(proposal: ProposalBody, now: datetime) -> None:
    tribute = Tribute.objects.filter(id=UUID(proposal.tribute_id)).first()
    if tribute is None:
        return
    if tribute.to_node_id == local_node().node_id:
        settle_sale(tribute, now=now)
    else:
        close_if_settled(tribute, now=now)
