"""Message classes, identities and ready-made frames for tests of the wire and the mesh."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from p2p.discovery.messages import Pex
from p2p.protocol.fields import Address, Body, Scope, Uuid, about
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Command, Hello, Record
from p2p.protocol.numbers import PROTOCOL_VERSION, MessageNumber
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.signing import seal

NETWORK = "galaxy"


class Note(Record, frozen=True, kw_only=True, tag=MessageNumber.POST.value):
    """A record that only tests use."""

    topic: ClassVar[str] = "notes"

    id: Annotated[Uuid, about("names the note")]
    text: Annotated[Body, about("what it says")]

    def key(self) -> str:
        return self.id


class MembersNote(Note, frozen=True, kw_only=True, tag=MessageNumber.TASK_CREATE.value):
    """A note for the members of a swarm."""

    topic: ClassVar[str] = "members"
    scope: ClassVar[Scope] = "swarm"


class Nudge(Command, frozen=True, kw_only=True, tag=MessageNumber.TASK_PROGRESS.value):
    """A command that only tests use."""

    text: Annotated[Body, about("what it says")]


def registry_with_test_messages() -> MessageRegistry:
    registry = MessageRegistry()
    registry.register(Note, MembersNote, Nudge, Pex)
    registry.freeze()
    return registry


def identity_number(number: int) -> Identity:
    """Return the same identity for the same number, every time."""
    return Identity.from_seed(number.to_bytes(32, "big"))


def hello_of(identity: Identity, **changes: Any) -> Hello:
    fields: dict[str, Any] = {
        "version": PROTOCOL_VERSION,
        "network": NETWORK,
        "node_id": identity.node_id,
        "public_key": identity.public_key_text,
        "swarm": "home",
        "role": "worker",
        "p2p_port": 7101,
        "http_port": 9091,
        "addresses": [Address(host="127.0.0.1", port=7101)],
        "capabilities": [],
        "nonce": "0123456789abcdef",
    }
    return Hello(**{**fields, **changes})


def note(
    identity: Identity,
    *,
    seq: int = 1,
    text: str = "hi",
    lamport_ts: int = 1_000,
    key: int = 0,
    kind: type[Note] = Note,
) -> Note:
    """Return a note; by default every `seq` has a key of its own."""
    return kind(
        origin=identity.node_id,
        public_key=identity.public_key_text,
        lamport_ts=lamport_ts,
        incarnation=1,
        seq=seq,
        id=f"{key or seq:032x}",
        text=text,
    )


def sealed_note(identity: Identity, **changes: Any) -> bytes:
    return seal(note(identity, **changes), identity, NETWORK)


def sealed_nudge(identity: Identity, to_node_id: str, *, lamport_ts: int = 1_000) -> bytes:
    command = Nudge(
        origin=identity.node_id,
        public_key=identity.public_key_text,
        lamport_ts=lamport_ts,
        to=to_node_id,
        msg_id="ab" * 16,
        text="now",
    )
    return seal(command, identity, NETWORK)
