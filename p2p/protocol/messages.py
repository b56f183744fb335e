"""The base classes of all messages, and the link messages that two peers exchange."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from p2p.protocol import limits
from p2p.protocol.fields import (
    Addresses,
    Capabilities,
    ConnectionNonce,
    Detail,
    Milliseconds,
    Name,
    NodeId,
    Nonce,
    OptionalName,
    OptionalPort,
    Proof,
    PublicKey,
    RecordSeqs,
    Role,
    Scope,
    Sequence,
    SignatureText,
    Uuid,
    about,
)
from p2p.protocol.numbers import MessageNumber


class Message(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Anything that travels as one frame; unsigned messages are believed on their link only."""


class NeighbourMessage(Message, frozen=True, kw_only=True):
    """Said by a neighbour to a neighbour: unsigned, believed on its link only, never handed on."""


class Signed(Message, frozen=True, kw_only=True):
    """A message that its origin signed, so that it counts whoever hands it on."""

    origin: Annotated[NodeId, about("node id of the signer: hash of `public_key`")]
    public_key: Annotated[PublicKey, about("Ed25519 key of the signer, canonical base64")]
    lamport_ts: Annotated[Sequence, about("hybrid logical clock of the signer, unix ms")]


class Record(Signed, frozen=True, kw_only=True):
    """The latest whole state of one key in a topic; replaces what its origin said before."""

    topic: ClassVar[str]
    scope: ClassVar[Scope] = "network"  # `swarm`: sent to members only, taken from members only

    incarnation: Annotated[Sequence, about("life of the origin's numbering in this topic")]
    seq: Annotated[Sequence, about("contiguous number of the origin's records in this topic")]

    def key(self) -> str:
        """Return which key of the topic this record writes."""
        raise NotImplementedError(f"{type(self).__name__} names no key")

    @property
    def deletes(self) -> bool:
        """Tell whether this record is a tombstone."""
        return False


class Flooded(Signed, frozen=True, kw_only=True):
    """Said to everybody in its scope now, and worth nothing later: handed on, never stored."""

    scope: ClassVar[Scope] = "network"  # `swarm`: sent to members only, taken from members only


class Targeted(Signed, frozen=True, kw_only=True):
    """A signed message for exactly one node."""

    to: Annotated[NodeId, about("the only node that acts on this frame")]


class Command(Targeted, frozen=True, kw_only=True):
    """A request to one node, repeated byte for byte until its ACK comes or it expires."""

    msg_id: Annotated[Uuid, about("names the command; (origin, msg_id) acts once")]


class Ack(Targeted, frozen=True, kw_only=True, tag=MessageNumber.ACK.value):
    """The answer to every command, sent when its effect or its refusal is committed."""

    re: Annotated[Uuid, about("msg_id of the command that is answered")]
    ok: Annotated[bool, about("true: done; false: refused, nothing was changed")]
    code: Annotated[OptionalName, about("stable code of the refusal, empty when ok")] = ""
    detail: Annotated[Detail, about("the refusal in words, with value and limit")] = ""


class Hello(Message, frozen=True, kw_only=True, tag=MessageNumber.HELLO.value):
    """Who I am and how I can be reached; the first frame of each side."""

    version: Annotated[Sequence, about("protocol version, 1 today; others are refused")]
    network: Annotated[Name, about("name of the network; others are refused")]
    node_id: Annotated[NodeId, about("hash of `public_key`")]
    public_key: Annotated[PublicKey, about("Ed25519 key of the sender, canonical base64")]
    swarm: Annotated[Name, about("swarm that the node says it belongs to")]
    role: Annotated[Role, about("part of the node in its swarm")]
    p2p_port: Annotated[OptionalPort, about("port for other nodes, 0: none")]
    http_port: Annotated[OptionalPort, about("port of dashboard and API, 0: none")]
    addresses: Annotated[Addresses, about("where the node can be dialled, best first")]
    capabilities: Annotated[Capabilities, about("optional features that the node speaks")]
    nonce: Annotated[
        ConnectionNonce,
        about("12 hex digits of unix ms, 4 random ones: the dialler's orders rival connections"),
    ]


class AuthChallenge(Message, frozen=True, kw_only=True, tag=MessageNumber.AUTH_CHALLENGE.value):
    """A fresh random number that the other side must sign."""

    nonce: Annotated[Nonce, about("32 random bytes, hex")]


class AuthResponse(Message, frozen=True, kw_only=True, tag=MessageNumber.AUTH_RESPONSE.value):
    """The proof: the sender's signature over the transcript of this handshake."""

    node_id: Annotated[NodeId, about("as in the sender's HELLO")]
    role: Annotated[Role, about("as in the sender's HELLO")]
    signature: Annotated[SignatureText, about("over the transcript, canonical base64")]
    membership: Annotated[Proof, about("proof of the swarm's secret, hex; empty without")] = ""


class AuthReject(Message, frozen=True, kw_only=True, tag=MessageNumber.AUTH_REJECT.value):
    """The handshake is refused and the connection closes."""

    reason: Annotated[Name, about("stable code")]
    detail: Annotated[Detail, about("the same in words")] = ""


class Ping(Message, frozen=True, kw_only=True, tag=MessageNumber.PING.value):
    """Asks for a sign of life."""

    node_id: Annotated[NodeId, about("sender")]
    timestamp: Annotated[Milliseconds, about("unix ms of the sender, returned by the answer")]


class Pong(Message, frozen=True, kw_only=True, tag=MessageNumber.PONG.value):
    """The sign of life."""

    node_id: Annotated[NodeId, about("sender")]
    timestamp: Annotated[Milliseconds, about("as in the PING")]


class Goodbye(Message, frozen=True, kw_only=True, tag=MessageNumber.GOODBYE.value):
    """The last frame on a connection: the sender closes it on purpose."""

    reason: Annotated[Name, about("stable code: `stopping`, `duplicate_link`, or an error")]
    detail: Annotated[Detail, about("the same in words")] = ""


class RecordIds(Struct, frozen=True):
    """Names records: those of one origin in one topic under one incarnation."""

    origin: Annotated[NodeId, about("node that signed them")]
    topic: Annotated[Name, about("topic of the records")]
    incarnation: Annotated[Sequence, about("as in the records")]
    seqs: Annotated[RecordSeqs, about("their numbers")]


RecordIdGroups = Annotated[list[RecordIds], Meta(min_length=1, max_length=limits.GOSSIP_IDS_MAX)]


_WHICH = about(f"which records; at most {limits.GOSSIP_IDS_MAX:,} numbers in all")


class IHave(Message, frozen=True, kw_only=True, tag=MessageNumber.IHAVE.value):
    """Names records that the sender has and did not send over this link."""

    ids: Annotated[RecordIdGroups, _WHICH]


class IWant(Message, frozen=True, kw_only=True, tag=MessageNumber.IWANT.value):
    """Asks for records: they are sent as their origins signed them, or their successors are."""

    ids: Annotated[RecordIdGroups, _WHICH]
    graft: Annotated[bool, about("true: send new records of these scopes at once from now on")]


class Prune(Message, frozen=True, kw_only=True, tag=MessageNumber.PRUNE.value):
    """Asks to send ids instead of records: they come by a shorter way."""

    scope: Annotated[Scope, about("for the records of which scope")]


LINK_MESSAGES: tuple[type[Message], ...] = (
    Hello,
    AuthChallenge,
    AuthResponse,
    AuthReject,
    Ping,
    Pong,
    Goodbye,
    IHave,
    IWant,
    Prune,
)
