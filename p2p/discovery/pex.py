"""Peer exchange: what a neighbour is told, and what of its answer is kept.

Only places that a handshake has proved are handed on: the IP address that a node was seen at,
with the port that it said it listens at. What a HELLO merely claims of other hosts is not, so
that nobody can send a network's dialling to a victim. Without sockets or time of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from p2p.discovery.addresses import may_travel
from p2p.discovery.candidates import Contact
from p2p.discovery.messages import Pex, PexEntry
from p2p.protocol import limits

Sample = Callable[[Sequence["ProvenNode"], int], list["ProvenNode"]]


@dataclass(frozen=True, slots=True)
class ProvenNode:
    """A node that finished a handshake with us, where it was seen, and when last."""

    node_id: str
    host: str
    port: int
    swarm: str
    seen_at: float


class ProvenNodes:
    """The nodes that we vouch for having met; bounded, and none older than 24 hours."""

    def __init__(self, *, sample: Sample) -> None:
        """Take a chooser of k out of many, such as `random.sample`."""
        self._sample = sample
        self._nodes: dict[str, ProvenNode] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def note(self, node: ProvenNode) -> None:
        """Remember where a linked node is seen now; one that does not listen is not noted."""
        if not node.port:
            return
        self._nodes.pop(node.node_id, None)
        self._nodes[node.node_id] = node
        if len(self._nodes) > limits.PROVEN_NODES_MAX:
            del self._nodes[next(iter(self._nodes))]

    def contact_of(self, node_id: str) -> Contact | None:
        """Return where a node was seen last, None when it was never met."""
        node = self._nodes.get(node_id)
        return Contact(node.node_id, node.host, node.port) if node else None

    def told_to(self, node_id: str, host: str, now: float) -> Pex:
        """Return what a neighbour, seen at `host`, is told: at most PEX_ENTRIES_MAX by chance."""
        fit = [
            node
            for node in self._nodes.values()
            if node.node_id != node_id
            and now - node.seen_at < limits.PROVEN_LIFE_S
            and may_travel(node.host, host)
        ]
        chosen = self._sample(fit, min(len(fit), limits.PEX_ENTRIES_MAX))
        return Pex(
            peers=[
                PexEntry(node_id=each.node_id, host=each.host, port=each.port, swarm=each.swarm)
                for each in chosen
            ]
        )


def believable(entries: Sequence[PexEntry], from_host: str) -> list[Contact]:
    """Return what of a neighbour's entries may be dialled; `from_host` is where it was seen."""
    return [
        Contact(each.node_id, each.host, each.port)
        for each in entries
        if may_travel(each.host, from_host)
    ]
