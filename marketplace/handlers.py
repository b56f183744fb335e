"""One service call for each of the marketplace's messages."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from uuid import UUID

from marketplace import messages
from marketplace.models import Tribute
from marketplace.services import (
    cancelling,
    catching_up,
    payments,
    refusals,
    reservations,
    sales,
    tributes,
)
from marketplace.states import TributeStatus
from p2p.models import OutboxMessage
from p2p.protocol.codec import Received
from p2p.protocol.timestamps import from_timestamp
from p2p.registration import registry


def on_tribute_request(received: Received[messages.TributeRequest], now: datetime) -> None:
    """Begin to decide on a buyer's request."""
    command = received.message
    sales.take_request(command.tribute, origin=command.origin, frame=received.raw, now=now)


def on_tribute_accept(received: Received[messages.TributeAccept], now: datetime) -> None:
    """Take the seller's acceptance."""
    command = received.message
    tributes.note_accepted(
        UUID(command.tribute_id),
        seller=command.origin,
        tx_hash=command.tx_hash,
        reserved_until=from_timestamp(command.reserved_until),
        frame=received.raw,
        now=now,
    )


def on_tribute_reject(received: Received[messages.TributeReject], now: datetime) -> None:
    """Take the seller's refusal."""
    command = received.message
    tributes.note_rejected(
        UUID(command.tribute_id),
        seller=command.origin,
        code=command.code,
        reason=command.reason,
        frame=received.raw,
        now=now,
    )


def on_tribute_cancel(received: Received[messages.TributeCancel], now: datetime) -> None:
    """Take executions, or all of a tribute, back as its other side asks."""
    command = received.message
    cancelling.take_cancel(
        UUID(command.tribute_id),
        origin=command.origin,
        released_count=command.released_count,
        task_ids=[UUID(task_id) for task_id in command.task_ids],
        reason=command.reason,
        now=now,
    )


def on_tribute_verdict(received: Received[messages.TributeVerdict], now: datetime) -> None:
    """Note what the buyer's gate decided."""
    command = received.message
    sales.take_verdict(
        UUID(command.tribute_id),
        UUID(command.task_id),
        run=command.run,
        buyer=command.origin,
        verdict=command.verdict,
        commit=command.commit or "",
        reason=command.reason,
        now=now,
    )


def on_consensus_propose(received: Received[messages.ConsensusPropose], now: datetime) -> None:
    """Credit and vote, or abort; then the sale may be settled."""
    command = received.message
    broken = payments.take_proposal(
        command.proposal, origin=command.origin, frame=received.raw, now=now
    )
    if broken is not None:
        refusals.note(command, broken.code, str(broken), now)
    sold = Tribute.objects.filter(
        id=UUID(command.proposal.tribute_id), from_node_id=command.origin
    ).first()
    if sold is not None:
        sales.settle_sale(sold, now=now)


def on_consensus_vote(received: Received[messages.ConsensusVote], now: datetime) -> None:
    """Close a payment with the payee's signature."""
    command = received.message
    payments.take_vote(UUID(command.proposal_id), voter=command.origin, frame=received.raw, now=now)


def on_consensus_commit(received: Received[messages.ConsensusCommit], now: datetime) -> None:
    """Close a payment at the payee."""
    command = received.message
    payments.take_commit(UUID(command.proposal_id), origin=command.origin, now=now)


def on_consensus_abort(received: Received[messages.ConsensusAbort], now: datetime) -> None:
    """Take back what the payee did not credit."""
    command = received.message
    payments.take_abort(
        UUID(command.proposal_id), origin=command.origin, reason=command.reason, now=now
    )


def on_consensus_sync_req(received: Received[messages.ConsensusSyncReq], now: datetime) -> None:
    """Give the other party of payments the evidence that it lacks."""
    catching_up.take_request(received.message, now=now)


def on_consensus_sync_rsp(received: Received[messages.ConsensusSyncRsp], now: datetime) -> None:
    """Book what the other party's evidence proves."""
    catching_up.take_answer(received.message, now=now)


def on_request_answered(
    row: OutboxMessage, accepted: bool, code: str, detail: str, now: datetime
) -> None:
    """End a request that the seller's node refused to take at all."""
    if accepted or code == "expired":
        return  # the deadline of the tribute itself decides about silence
    command = cast(messages.TributeRequest, registry.decode(bytes(row.frame)))
    tributes.note_rejected(
        UUID(command.tribute.id),
        seller=row.to_node_id,
        code=code,
        reason=detail,
        frame=b"",
        now=now,
    )


def on_proposal_answered(
    row: OutboxMessage, accepted: bool, code: str, detail: str, now: datetime
) -> None:
    """Take back what the payee's node refused to take at all: a refusal credits nothing."""
    if accepted:
        return
    command = cast(messages.ConsensusPropose, registry.decode(bytes(row.frame)))
    payments.take_abort(
        UUID(command.proposal.id), origin=row.to_node_id, reason=detail or code, now=now
    )


def on_acceptance_answered(
    row: OutboxMessage, accepted: bool, code: str, detail: str, now: datetime
) -> None:
    """Free the agents of an acceptance that came to nothing."""
    if accepted:
        return
    command = cast(messages.TributeAccept, registry.decode(bytes(row.frame)))
    still = Tribute.objects.filter(id=UUID(command.tribute_id), status=TributeStatus.ACCEPTED)
    if still.filter(executions__isnull=True).exists():
        reservations.note_acceptance_refused(
            UUID(command.tribute_id), code=code, detail=detail, now=now
        )
