"""Payment between two nodes: PROPOSE captures, VOTE credits, COMMIT only closes.

The payer's capture is irrevocable and committed with the proposal, which is resent until it is
answered; the payee's credit is committed with its vote. The two signatures are the certificate.
"""

from __future__ import annotations

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
from marketplace.services.certificates import payment_id
from marketplace.services.transitions import get_tribute, move_execution, tell
from marketplace.states import EntryKind, ExecutionStatus, PaymentStatus
from p2p import outbox
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.errors import NotFound

REFUSED_KEPT_MAX = 100  # refused proposals of one payer


def propose(execution: Execution, *, now: datetime) -> Payment:
    """Capture an accepted execution's price and send the proposal, in one transaction."""
    tribute = execution.tribute
    payment = Payment.objects.create(
        id=payment_id(tribute.id, execution.task_id, execution.run),
        execution=execution,
        payer_node_id=tribute.from_node_id,
        payee_node_id=tribute.to_node_id,
        amount=tribute.price_per_task,
        created_at=now,
    )
    _book(EntryKind.CAPTURE, payment, tribute.to_node_id, now)
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


def take_proposal(
    proposal: ProposalBody, *, origin: str, frame: bytes, now: datetime
) -> RuleBroken | None:
    """Credit a proposed payment and vote for it, or abort it and return the rule that it breaks."""
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
            if not payment.vote_frame:
                Payment.objects.filter(id=payment.id).update(vote_frame=row.frame)
    except RuleBroken as broken:
        _keep_refused(proposal, origin, frame, str(broken), now)
        outbox.send_command(
            ConsensusAbort,
            to_node_id=origin,
            now=now,
            expires_in_s=None,
            proposal_id=proposal.id,
            reason=str(broken)[:500],
        )
        return broken
    return None


def take_vote(proposal_id: UUID, *, voter: str, frame: bytes, now: datetime) -> None:
    """Keep the payee's signature and close the payment on both sides."""
    payment = _payment(proposal_id)
    if payment.payee_node_id != voter or payment.payer_node_id != local_node().node_id:
        raise DomainError("not_allowed", f"{voter[:8]} has no vote on payment {proposal_id}")
    if payment.status == PaymentStatus.ABORTED:
        raise DomainError("aborted", f"{voter[:8]} has aborted payment {proposal_id} before")
    closed = Payment.objects.filter(id=proposal_id, status=PaymentStatus.PROPOSED).update(
        status=PaymentStatus.COMMITTED, vote_frame=frame, closed_at=now
    )
    if closed:
        send_commit(payment, now=now)
        _tell_paid(payment, now)


def send_commit(payment: Payment, *, now: datetime) -> None:
    """Tell the payee that the payer has its vote."""
    outbox.send_command(
        ConsensusCommit,
        to_node_id=payment.payee_node_id,
        now=now,
        expires_in_s=None,
        proposal_id=payment.id.hex,
    )


def take_commit(proposal_id: UUID, *, origin: str, now: datetime) -> None:
    """Close a payment at the payee; the money moved with the vote."""
    payment = _payment(proposal_id)
    if payment.payer_node_id != origin or payment.payee_node_id != local_node().node_id:
        raise DomainError("not_allowed", f"{origin[:8]} cannot commit payment {proposal_id}")
    closed = Payment.objects.filter(id=proposal_id, status=PaymentStatus.VOTED).update(
        status=PaymentStatus.COMMITTED, closed_at=now
    )
    if closed:
        _tell_paid(payment, now)


def take_abort(proposal_id: UUID, *, origin: str, reason: str, now: datetime) -> None:
    """Take the money back that the payee says, signed, it did not credit."""
    payment = _payment(proposal_id)
    if payment.payee_node_id != origin or payment.payer_node_id != local_node().node_id:
        raise DomainError("not_allowed", f"{origin[:8]} cannot abort payment {proposal_id}")
    aborted = Payment.objects.filter(id=proposal_id, status=PaymentStatus.PROPOSED).update(
        status=PaymentStatus.ABORTED, reason=reason[:500], closed_at=now
    )
    if aborted:
        _book(EntryKind.CREDIT, payment, origin, now)


def _credited(proposal: ProposalBody, origin: str, frame: bytes, now: datetime) -> Payment:
    """Check a proposal against the trade it claims to settle, then credit it, once."""
    known = Payment.objects.filter(id=UUID(proposal.id)).first()
    if known is not None:
        return _voted_before(known, proposal, origin)
    execution = _settled_by(proposal, origin)
    paid = Payment.objects.filter(execution=execution).first()
    if paid is not None:
        raise RuleBroken(f"task {proposal.task_id} is already paid by {paid.id.hex}")
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
    _book(EntryKind.CREDIT, payment, origin, now)
    return payment


def _voted_before(known: Payment, proposal: ProposalBody, origin: str) -> Payment:
    """Return a payment that is voted for once more; what was refused once stays refused."""
    if known.status == PaymentStatus.ABORTED:
        raise RuleBroken(known.reason)
    parties = (known.payer_node_id, known.payee_node_id)
    if parties != (origin, local_node().node_id) or known.amount != proposal.amount:
        raise RuleBroken(f"payment {proposal.id} is another one here")
    return known


def _settled_by(proposal: ProposalBody, origin: str) -> Execution:
    """Return the execution that a proposal pays for; RuleBroken names what does not fit."""
    tribute = _tribute_of(proposal, origin)
    if proposal.amount != tribute.price_per_task:
        raise RuleBroken(
            f"payment of {proposal.amount} VOID, the agreed price is {tribute.price_per_task}"
        )
    execution = tribute.executions.filter(task_id=UUID(proposal.task_id), run=proposal.run).first()
    if execution is None:
        raise RuleBroken(
            f"run {proposal.run} of task {proposal.task_id} "
            f"was not done under tribute {tribute.id.hex}"
        )
    if execution.status in (ExecutionStatus.REFUSED, ExecutionStatus.CANCELLED):
        raise RuleBroken(f"task {proposal.task_id} was {execution.status}")
    return execution


def _tribute_of(proposal: ProposalBody, origin: str) -> Tribute:
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
    if UUID(proposal.id) != payment_id(tribute.id, UUID(proposal.task_id), proposal.run):
        raise RuleBroken(
            f"payment {proposal.id} is not the one of run {proposal.run} of task {proposal.task_id}"
        )
    return tribute


def _keep_refused(
    proposal: ProposalBody, origin: str, frame: bytes, reason: str, now: datetime
) -> None:
    """Keep a refused proposal of a known deal, so that it stays refused however often it comes."""
    try:
        _tribute_of(proposal, origin)
    except RuleBroken:
        return  # what belongs to no deal of ours is kept by the inbox alone
    refused = Payment.objects.filter(payer_node_id=origin, status=PaymentStatus.ABORTED)
    if refused.filter(payee_node_id=local_node().node_id).count() >= REFUSED_KEPT_MAX:
        return
    Payment.objects.get_or_create(
        id=UUID(proposal.id),
        defaults={
            "payer_node_id": origin,
            "payee_node_id": local_node().node_id,
            "amount": proposal.amount,
            "status": PaymentStatus.ABORTED,
            "reason": reason[:500],
            "propose_frame": frame,
            "created_at": now,
            "closed_at": now,
        },
    )


def _payment(proposal_id: UUID) -> Payment:
    payment = Payment.objects.select_related("execution__tribute").filter(id=proposal_id).first()
    if payment is None:
        raise NotFound("payment", proposal_id)
    return payment


def _tell_paid(payment: Payment, now: datetime) -> None:
    if payment.execution is not None:
        tell(payment.execution.tribute, "paid", now=now)


def _book(kind: EntryKind, payment: Payment, counterparty: str, now: datetime) -> None:
    execution = payment.execution
    wallet.move(
        wallet.Movement(
            kind=kind,
            reference=payment.id.hex,
            amount=payment.amount,
            tribute_id=execution.tribute_id if execution else None,
            counterparty_node_id=counterparty,
            note=execution.title if execution else "",
        ),
        now=now,
    )
