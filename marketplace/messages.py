"""The marketplace's messages: offerings to all, tributes and payments between two."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from p2p.protocol import limits
from p2p.protocol.fields import (
    Addresses,
    Amount,
    Capabilities,
    Currency,
    Detail,
    Digest,
    GitRef,
    Name,
    NodeId,
    Sha,
    SmallCount,
    TaskIds,
    Timestamp,
    TxHash,
    Url,
    Uuid,
    about,
)
from p2p.protocol.messages import Command, Record
from p2p.protocol.numbers import MessageNumber
from p2p.sync.messages import sync_pair

TOPIC = "marketplace"
SYNC = sync_pair(TOPIC, MessageNumber.MARKETPLACE_SYNC_REQ, MessageNumber.MARKETPLACE_SYNC_RSP)
Policy = Literal["accepted_result", "execution"]


class OfferingBody(Struct, frozen=True, kw_only=True):
    """Idle agents for sale, for as long as `expires_at` says."""

    id: Annotated[Uuid, about("the same through all renewals")]
    node_id: Annotated[NodeId, about("the seller; must be the record's origin")]
    swarm: Annotated[Name, about("the seller's swarm")]
    addresses: Annotated[Addresses, about("where the seller can be dialled")]
    idle_agents: Annotated[SmallCount, about("agents that are really idle and not reserved")]
    capabilities: Annotated[Capabilities, about("what every one of them can do")]
    price_per_task: Annotated[Amount, about("VOID for one execution")]
    currency: Annotated[Currency, about("always VOID")]
    policy: Annotated[
        Policy,
        about("what the price covers: one accepted result with its re-runs, or one pushed run"),
    ]
    isolation: Annotated[
        Literal["sandbox", "worktree"], about("what sold work runs in at the seller")
    ]
    api_keys: Annotated[
        bool, about("the seller declares that its agents run on API keys that may serve others")
    ]
    expires_at: Annotated[Timestamp, about("when it ends unless renewed")]
    created_at: Annotated[Timestamp, about("when it was first announced")]


class OfferingAnnounce(
    Record, frozen=True, kw_only=True, tag=MessageNumber.OFFERING_ANNOUNCE.value
):
    """A new, renewed or changed offering."""

    topic: ClassVar[str] = TOPIC
    offering: Annotated[OfferingBody, about("the whole offering")]

    def key(self) -> str:
        """Return the offering's id."""
        return self.offering.id


class OfferingWithdraw(
    Record, frozen=True, kw_only=True, tag=MessageNumber.OFFERING_WITHDRAW.value
):
    """The end of an offering before its time."""

    topic: ClassVar[str] = TOPIC
    offering_id: Annotated[Uuid, about("the offering")]
    node_id: Annotated[NodeId, about("the seller; must be the record's origin")]

    def key(self) -> str:
        """Return the offering's id."""
        return self.offering_id

    @property
    def deletes(self) -> bool:
        """A withdrawal is a tombstone."""
        return True


class TributeBody(Struct, frozen=True, kw_only=True):
    """What the buyer asks for and offers to pay."""

    id: Annotated[Uuid, about("the tribute")]
    offering_id: Annotated[Uuid, about("the offering that it answers")]
    from_node_id: Annotated[NodeId, about("the buyer; must be the command's origin")]
    to_node_id: Annotated[NodeId, about("the seller")]
    task_count: Annotated[SmallCount, about("executions bought, at least 1")]
    total_cost: Annotated[Amount, about("task_count times the offering's price_per_task")]
    currency: Annotated[Currency, about("always VOID")]
    policy: Annotated[Policy, about("as in the offering")]
    repository: Annotated[Url, about("git remote that the seller's agents must be able to push to")]
    ref: Annotated[GitRef, about("branch that the work starts from")]
    deadline_at: Annotated[Timestamp, about("an answer after this is too late")]
    work_deadline_at: Annotated[
        Timestamp, about("from then on the buyer may take back what is not reported")
    ]


class TributeRequest(Command, frozen=True, kw_only=True, tag=MessageNumber.TRIBUTE_REQUEST.value):
    """Ask for executions; the buyer holds the cost before it sends this."""

    tribute: Annotated[TributeBody, about("the whole tribute")]


class TributeAccept(Command, frozen=True, kw_only=True, tag=MessageNumber.TRIBUTE_ACCEPT.value):
    """The seller reserved agents until `reserved_until`."""

    tribute_id: Annotated[Uuid, about("the tribute")]
    tx_hash: Annotated[TxHash, about("0x and SHA-256 of the TRIBUTE_REQUEST's payload")]
    reserved_until: Annotated[Timestamp, about("the first TASK_ASSIGN must come before this")]


class TributeReject(Command, frozen=True, kw_only=True, tag=MessageNumber.TRIBUTE_REJECT.value):
    """The seller will not do it."""

    tribute_id: Annotated[Uuid, about("the tribute")]
    code: Annotated[Name, about("`no_idle_agents`, `offering_gone`, `remote_not_writable`, …")]
    reason: Annotated[Detail, about("the same in words")]


class TributeCancel(Command, frozen=True, kw_only=True, tag=MessageNumber.TRIBUTE_CANCEL.value):
    """Either side ends a tribute before it is assigned; the buyer also single executions."""

    tribute_id: Annotated[Uuid, about("the tribute")]
    released_count: Annotated[SmallCount, about("all executions given back unassigned so far")]
    task_ids: Annotated[
        TaskIds, about("assigned tasks, not yet reported, that the buyer takes back")
    ]
    reason: Annotated[Detail, about("why")]


class TributeVerdict(Command, frozen=True, kw_only=True, tag=MessageNumber.TRIBUTE_VERDICT.value):
    """What the buyer's gate made of an execution."""

    tribute_id: Annotated[Uuid, about("the tribute")]
    task_id: Annotated[Uuid, about("the task")]
    run: Annotated[
        SmallCount, about("1; under policy `execution` the generation of the assignment")
    ]
    verdict: Annotated[
        Literal["accepted", "rework", "refused"],
        about("accepted: it will be paid; rework: assigned again; refused: not paid"),
    ]
    commit: Annotated[Sha | None, about("the commit that was judged")] = None
    reason: Annotated[Detail, about("the evidence in words")] = ""


class ProposalBody(Struct, frozen=True, kw_only=True):
    """A transfer that the payer has already taken from its own balance."""

    id: Annotated[Uuid, about("the payment")]
    tribute_id: Annotated[Uuid, about("the tribute that it settles a part of")]
    task_id: Annotated[Uuid, about("the task of the execution that it pays for")]
    run: Annotated[SmallCount, about("the run of that execution")]
    from_node_id: Annotated[NodeId, about("the payer; must be the command's origin")]
    to_node_id: Annotated[NodeId, about("the payee")]
    amount: Annotated[Amount, about("VOID; the tribute's price per task")]
    currency: Annotated[Currency, about("always VOID")]
    commit: Annotated[Sha, about("the accepted commit")]


class ConsensusPropose(
    Command, frozen=True, kw_only=True, tag=MessageNumber.CONSENSUS_PROPOSE.value
):
    """The payer's irrevocable promise: resent until it is voted on."""

    proposal: Annotated[ProposalBody, about("the whole transfer")]


class ConsensusVote(Command, frozen=True, kw_only=True, tag=MessageNumber.CONSENSUS_VOTE.value):
    """The payee's signature: its balance is credited in the same transaction."""

    proposal_id: Annotated[Uuid, about("the payment")]
    voter_node_id: Annotated[NodeId, about("the payee; must be the command's origin")]
    vote: Annotated[Literal["accept"], about("a refusal is a CONSENSUS_ABORT")]
    reason: Annotated[Detail, about("empty")] = ""


class ConsensusCommit(Command, frozen=True, kw_only=True, tag=MessageNumber.CONSENSUS_COMMIT.value):
    """Closes a payment that both have signed; moves no money."""

    proposal_id: Annotated[Uuid, about("the payment")]


class ConsensusAbort(Command, frozen=True, kw_only=True, tag=MessageNumber.CONSENSUS_ABORT.value):
    """The payee's answer to a proposal that breaks a rule: nothing was credited."""

    proposal_id: Annotated[Uuid, about("the payment")]
    reason: Annotated[Detail, about("the rule that it breaks")]


Prefix = Annotated[str, Meta(pattern="^[0-9a-f]*$(?!\\n)", max_length=32)]
EvidenceText = Annotated[str, Meta(max_length=limits.PAYMENT_FRAME_BYTES_MAX)]
Stage = Literal["proposed", "voted", "committed", "aborted"]


class PaymentHeld(Struct, frozen=True, kw_only=True):
    """A payment between the two nodes that the sender has."""

    id: Annotated[Uuid, about("the payment")]
    stage: Annotated[Stage, about("how far it has come there")]


class Certificate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The evidence of one payment: frames as they were signed, which prove themselves."""

    propose: Annotated[EvidenceText, about("the payer's CONSENSUS_PROPOSE, as text")]
    vote: Annotated[EvidenceText, about("the payee's CONSENSUS_VOTE, as text; empty without")] = ""
    stage: Annotated[Stage, about("how far it has come at the sender")]
    reason: Annotated[Detail, about("why it was aborted")] = ""


class ConsensusSyncReq(
    Command, frozen=True, kw_only=True, tag=MessageNumber.CONSENSUS_SYNC_REQ.value
):
    """What the sender has of the payments between the two: what does it lack?"""

    prefix: Annotated[Prefix, about("only payments whose id begins with this")]
    held: Annotated[
        list[PaymentHeld],
        Meta(max_length=limits.PAYMENTS_NAMED_MAX),
        about("all of them; empty where `digests` stand for more than one message names"),
    ]
    digests: Annotated[
        list[Digest],
        Meta(max_length=16),
        about("instead of `held`: one for each next digit, of ids and stages; empty for none"),
    ]
    returned: Annotated[bool, about("asked because of the other's request: do not ask back")]


class ConsensusSyncRsp(
    Command, frozen=True, kw_only=True, tag=MessageNumber.CONSENSUS_SYNC_RSP.value
):
    """What the asker lacks, and where to ask on."""

    prefix: Annotated[Prefix, about("as in the request")]
    certificates: Annotated[
        list[Certificate],
        Meta(max_length=limits.PAYMENTS_NAMED_MAX),
        about("payments that the asker lacks, or has less far"),
    ]
    differ: Annotated[
        list[Prefix], Meta(max_length=16), about("longer prefixes whose digests differ: ask again")
    ]
    more: Annotated[bool, about("there is more than fits: ask again")]
