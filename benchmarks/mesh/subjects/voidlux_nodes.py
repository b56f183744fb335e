"""VoidLux meshes in this process, as the subjects need them: linked, without a database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from p2p.mesh.mesh import Mesh
from p2p.mesh.settings import MeshLimits, Profile
from p2p.mesh.tls import Tls
from p2p.protocol.codec import Received, encode_message
from p2p.protocol.fields import Body, Uuid, about
from p2p.protocol.identity import Identity
from p2p.protocol.messages import NeighbourMessage, Record
from p2p.protocol.numbers import MessageNumber
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.signing import seal

HOST = "127.0.0.1"
NETWORK = "benchmark"
LINKED_WITHIN_S = 30.0
# A link takes at most 2,000 frames a second, so that nobody can flood a node. Here the machine
# is to be the limit, for every subject.
WITHOUT_RATE_LIMITS = MeshLimits(
    frames_per_s=1e9, frames_burst=1e9, bytes_per_s=1e12, bytes_burst=1e12
)


class Blob(Record, frozen=True, kw_only=True, tag=MessageNumber.POST.value):
    """A signed record that carries the payload."""

    topic: ClassVar[str] = "blobs"

    id: Annotated[Uuid, about("names the record")]
    text: Annotated[Body, about("the payload")]

    def key(self) -> str:
        return self.id


class Whisper(NeighbourMessage, frozen=True, kw_only=True, tag=MessageNumber.PEX.value):
    """An unsigned message that carries the payload over one link."""

    text: Annotated[Body, about("the payload")]


def registry() -> MessageRegistry:
    """Return a registry that knows both classes."""
    made = MessageRegistry()
    made.register(Blob, Whisper)
    made.freeze()
    return made


@dataclass(slots=True)
class Node:
    """One mesh and the numbering of its records."""

    identity: Identity
    mesh: Mesh
    neighbours: list[str] = field(default_factory=list)
    seq: int = 0

    def publish(self, payload: bytes) -> None:
        """Sign a record with this payload and spread it."""
        self.seq += 1
        record = Blob(
            origin=self.identity.node_id,
            public_key=self.identity.public_key_text,
            lamport_ts=time.time_ns() // 1_000_000,
            incarnation=1,
            seq=self.seq,
            id=f"{self.seq:032x}",
            text=payload.decode(),
        )
        self.mesh.publish(seal(record, self.identity, NETWORK))

    def whisper(self, payload: bytes) -> None:
        """Send an unsigned message to the first neighbour."""
        self.mesh.send(self.neighbours[0], encode_message(Whisper(text=payload.decode())))


def make_node(
    on_record: Callable[[str], None], *, with_tls: bool, limits: MeshLimits = WITHOUT_RATE_LIMITS
) -> Node:
    """Return a node that tells of every payload that it gets, signed or not."""

    def deliver(received: Received, from_node_id: str) -> bool:
        on_record(received.message.text)
        return True

    identity = Identity.generate()
    mesh = Mesh(
        identity=identity,
        network=NETWORK,
        profile=Profile(swarm="benchmark"),
        registry=registry(),
        deliver=deliver,
        on_peer_up=lambda peer: None,
        on_peer_down=lambda node_id: None,
        on_neighbour=lambda received, from_node_id: on_record(received.message.text),
        limits=limits,
        tls=Tls.of(identity) if with_tls else None,
    )
    return Node(identity, mesh)


async def linked_nodes(
    count: int, on_record: Callable[[str], None], *, with_tls: bool
) -> list[Node]:
    """Return that many nodes, each linked to every other; TimeoutError when they do not link."""
    nodes = [make_node(on_record, with_tls=with_tls) for _ in range(count)]
    for number, node in enumerate(nodes):
        port = await node.mesh.start(HOST, 0)
        for later in nodes[number + 1 :]:
            later.mesh.dial(HOST, port)
        node.neighbours = [each.identity.node_id for each in nodes if each is not node]
    async with asyncio.timeout(LINKED_WITHIN_S):
        while any(len(node.mesh.peers()) < count - 1 for node in nodes):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return nodes


async def stop(nodes: list[Node]) -> None:
    """End all nodes."""
    await asyncio.gather(*(node.mesh.stop() for node in nodes))
