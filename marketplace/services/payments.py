"""Payment between two nodes: PROPOSE captures, VOTE credits, COMMIT only closes.

The payer's capture is irrevocable and committed with the proposal, which is resent until it is
answered; the payee's credit is committed with its vote. The two signatures are the certificate.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from uuid import UUID

from django.db import transaction

from marketplace.errors import RuleBroken
from marketplace.messages import (
    ConsensusAbort,
    ConsensusCommit,
    ConsensusPropose,
    ConsensusVote,
    ProposalBody,
)
from marketplace.models import Execution, Payment, Tribute
from marketplace.services import wallet
from marketplace.services.transitions import get_tribute, move_execution, tell
from marketplace.states import EntryKind, ExecutionStatus, PaymentStatus
from p2p import outbox
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.errors import NotFound


def propose(execution: Execution, *, now: datetime) -> Payment:
    """Capture an accepted execution's price and send the proposal, in one transaction."""
    tribute = execution.tribute
    payment = Payment.objects.create(
        id=uuid.uuid4(),
        execution=execution,
        payer_node_id=tribute.from_node_id,
        payee_node_id=tribute.to_node_id,
        amount=tribute.price_per_task,
        created_at=now,
    )
    _book(EntryKind.CAPTURE, payment, tribute, tribute.to_node_id, now)
    row = outbox.send_command(
        ConsensusPropose,
        to_node_id=payment.payee_node_id,
        now=now,
        expires_in_s=None,
        proposal=ProposalBody(
            id=payment.id.hex,
            tribute_id=tribute.id.hex,
            task_id=execution.task_id.hex,
            run=execution.run,
            from_node_id=payment.payer_node_id,
            to_node_id=payment.payee_node_id,
            amount=payment.amount,
            currency="VOID",
            commit=execution.commit,
        ),
    )
    Payment.objects.filter(id=payment.id).update(propose_frame=row.frame)
    return payment


def take_proposal(proposal: ProposalBody, *, origin: str, frame: bytes, now: datetime) -> None:
    """Credit a proposed payment and vote for it, or abort it when it breaks a rule."""
    try:
        with transaction.atomic():
            payment = _credited(proposal, origin, frame, now)
            row = outbox.send_command(
                ConsensusVote,
                to_node_id=origin,
                now=now,
                expires_in_s=None,
                proposal_id=proposal.id,
                voter_node_id=local_node().node_id,
                vote="accept",
            )
            Payment.objects.filter(id=payment.id).update(vote_frame=row.frame)
    except RuleBroken as broken:
        outbox.send_command(
            ConsensusAbort,
            to_node_id=origin,
            now=now,
            expires_in_s=None,
            proposal_id=proposal.id,
            reason=str(broken)[:500],
        )


def take_vote(proposal_id: UUID, *, voter: str, frame: bytes, now: datetime) -> None:
    """Keep the payee's signature and close the payment on both sides."""
    payment = _payment(proposal_id)
    if payment.payee_node_id != voter or payment.payer_node_id != local_node().node_id:
        raise DomainError("not_allowed", f"{voter[:8]} has no vote on payment {proposal_id}")
    closed = Payment.objects.filter(id=proposal_id, status=PaymentStatus.PROPOSED).update(
        status=PaymentStatus.COMMITTED, vote_frame=frame, closed_at=now
    )
    if closed:
        outbox.send_command(
            ConsensusCommit,
            to_node_id=voter,
            now=now,
            expires_in_s=None,
            proposal_id=proposal_id.hex,
        )
        tell(payment.execution.tribute, "paid", now=now)


def take_commit(proposal_id: UUID, *, origin: str, now: datetime) -> None:
    """Close a payment at the payee; the money moved with the vote."""
    payment = _payment(proposal_id)
    if payment.payer_node_id != origin or payment.payee_node_id != local_node().node_id:
        raise DomainError("not_allowed", f"{origin[:8]} cannot commit payment {proposal_id}")
    closed = Payment.objects.filter(id=proposal_id, status=PaymentStatus.VOTED).update(
        status=PaymentStatus.COMMITTED, closed_at=now
    )
    if closed:
        tell(payment.execution.tribute, "paid", now=now)


def take_abort(proposal_id: UUID, *, origin: str, reason: str, now: datetime) -> None:
    """Take the money back that the payee says, signed, it did not credit."""
    payment = _payment(proposal_id)
    if payment.payee_node_id != origin or payment.payer_node_id != local_node().node_id:
        raise DomainError("not_allowed", f"{origin[:8]} cannot abort payment {proposal_id}")
    aborted = Payment.objects.filter(id=proposal_id, status=PaymentStatus.PROPOSED).update(
        status=PaymentStatus.ABORTED, reason=reason[:500], closed_at=now
    )
    if aborted:
        _book(EntryKind.CREDIT, payment, payment.execution.tribute, origin, now)


def _credited(proposal: ProposalBody, origin: str, frame: bytes, now: datetime) -> Payment:
    """Check a proposal against the trade it claims to settle, then credit it, once."""
    tribute, execution = _settled_by(proposal, origin)
    known = Payment.objects.filter(execution=execution).first()
    if known is not None:
        if known.id == UUID(proposal.id):
            return known
        raise RuleBroken(f"task {proposal.task_id} is already paid by {known.id.hex}")
    if Payment.objects.filter(id=UUID(proposal.id)).exists():
        raise RuleBroken(f"payment {proposal.id} is of another task than {proposal.task_id}")
    # The proposal is the stronger form of the verdict, and may overtake it.
    if execution.status == ExecutionStatus.OPEN:
        move_execution(execution, ExecutionStatus.ACCEPTED, now=now, commit=proposal.commit)
    payment = Payment.objects.create(
        id=UUID(proposal.id),
        execution=execution,
        payer_node_id=origin,
        payee_node_id=local_node().node_id,
        amount=proposal.amount,
        status=PaymentStatus.VOTED,
        propose_frame=frame,
        created_at=now,
    )
    _book(EntryKind.CREDIT, payment, tribute, origin, now)
    return payment


def _settled_by(proposal: ProposalBody, origin: str) -> tuple[Tribute, Execution]:
    try:
        tribute = get_tribute(UUID(proposal.tribute_id))
    except NotFound as error:
        raise RuleBroken(str(error)) from error
    parties = (proposal.from_node_id, proposal.to_node_id)
    if parties != (origin, local_node().node_id) or parties != (
        tribute.from_node_id,
        tribute.to_node_id,
    ):
        raise RuleBroken(f"payment {proposal.id} is not between the parties of its tribute")
    if proposal.amount != tribute.price_per_task:
        raise RuleBroken(
            f"payment of {proposal.amount} VOID, the agreed price is {tribute.price_per_task}"
        )
    execution = tribute.executions.filter(task_id=UUID(proposal.task_id), run=proposal.run).first()
    if execution is None:
        raise RuleBroken(f"task {proposal.task_id} was not done under tribute {tribute.id.hex}")
    if execution.status in (ExecutionStatus.REFUSED, ExecutionStatus.CANCELLED):
        raise RuleBroken(f"task {proposal.task_id} was {execution.status}")
    return tribute, execution


def _payment(proposal_id: UUID) -> Payment:
    payment = Payment.objects.select_related("execution__tribute").filter(id=proposal_id).first()
    if payment is None:
        raise NotFound("payment", proposal_id)
    return payment


def _book(
    kind: EntryKind, payment: Payment, tribute: Tribute, counterparty: str, now: datetime
) -> None:
    wallet.move(
        wallet.Movement(
            kind=kind,
            reference=payment.id.hex,
            amount=payment.amount,
            tribute_id=tribute.id,
            counterparty_node_id=counterparty,
            note=payment.execution.title,
        ),
        now=now,
    )
