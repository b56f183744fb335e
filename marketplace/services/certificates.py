"""The evidence of a payment: two signed frames that prove themselves, whoever serves them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TypeVar, cast
from uuid import UUID

from marketplace.messages import ConsensusPropose, ConsensusVote, ProposalBody
from p2p.local import local_node
from p2p.protocol.errors import DomainError, ProtocolError
from p2p.protocol.messages import Signed
from p2p.protocol.signing import open_sealed
from p2p.registration import registry

PAYMENTS = uuid.UUID("6f3c2f0e-7f4b-5d0e-9b7a-0c5ad1f0b3aa")

M = TypeVar("M", bound=Signed)


@dataclass(frozen=True)
class Proven:
    """A proposal that its payer signed, and whether its payee signed for it too."""

    proposal: ProposalBody
    propose_frame: bytes
    vote_frame: bytes


def payment_id(tribute_id: UUID, task_id: UUID, run: int) -> UUID:
    """Return the id of the one payment of an execution.

    It follows from the execution, so that a payer whose books were restored from a backup and
    that decides once more proposes the same payment again and not a second one.
    """
    return uuid.uuid5(PAYMENTS, f"{tribute_id.hex}:{task_id.hex}:{run}")


def proposal_in(frame: bytes) -> ProposalBody:
    """Return the proposal of a frame that was verified when it was stored."""
    return cast(ConsensusPropose, registry.decode(frame)).proposal


def prove(propose_frame: bytes, vote_frame: bytes = b"") -> Proven:
    """Check the signatures and that payer, payee and payment are the same in both frames.

    DomainError `not_certified` names what is wrong.
    """
    propose = open_frame(propose_frame, ConsensusPropose)
    proposal = propose.proposal
    if (propose.origin, propose.to) != (proposal.from_node_id, proposal.to_node_id):
        raise _not_certified(f"payment {proposal.id} is not signed by its payer for its payee")
    if vote_frame:
        vote = open_frame(vote_frame, ConsensusVote)
        if (vote.proposal_id, vote.origin, vote.voter_node_id, vote.to) != (
            proposal.id,
            proposal.to_node_id,
            proposal.to_node_id,
            proposal.from_node_id,
        ):
            raise _not_certified(f"the vote is not the payee's for payment {proposal.id}")
    return Proven(proposal, propose_frame, vote_frame)


def open_frame(frame: bytes, kind: type[M]) -> M:
    """Return the message of a signed frame of one kind; DomainError `not_certified` otherwise."""
    try:
        message = open_sealed(frame, local_node().network, registry).message
    except ProtocolError as broken:
        raise _not_certified(f"{kind.__name__}: {broken}") from broken
    if not isinstance(message, kind):
        raise _not_certified(f"a {type(message).__name__} stands where a {kind.__name__} must be")
    return message


def _not_certified(detail: str) -> DomainError:
    return DomainError("not_certified", detail)
