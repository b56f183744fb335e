"""Which of several connections to the same node is used: one rule, the same at both ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from p2p.protocol.limits import LINKS_PER_NODE_MAX


class Link(Protocol):
    """What the rule must know of a connection."""

    @property
    def node_id(self) -> str:
        """The proved id of the other end."""

    @property
    def outbound(self) -> bool:
        """Whether this node dialled."""

    @property
    def dialler_nonce(self) -> str:
        """The nonce in the dialler's HELLO; a later dial has a higher one."""

    @property
    def is_open(self) -> bool:
        """Whether nobody has begun to close it."""


LinkT = TypeVar("LinkT", bound=Link)


@dataclass(frozen=True, slots=True)
class Change(Generic[LinkT]):
    """What adding or removing a link did to its node."""

    first: bool = False
    last: bool = False
    to_drain: LinkT | None = None
    surplus: tuple[LinkT, ...] = ()
    promoted: LinkT | None = None


class LinkTable(Generic[LinkT]):
    """All finished links by node; the best of each node is the one to send on."""

    def __init__(self, own_node_id: str) -> None:
        """Take our node id, which decides whose dial is kept."""
        self._own_node_id = own_node_id
        self._links: dict[str, list[LinkT]] = {}

    def __len__(self) -> int:
        return len(self._links)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._links

    def __iter__(self) -> Iterator[LinkT]:
        return iter([links[0] for links in self._links.values()])

    def best(self, node_id: str) -> LinkT | None:
        """Return the link to send on, or None when the node is not linked.

        One that is closing is passed over while there is another.
        """
        links = self._links.get(node_id)
        if not links:
            return None
        if links[0].is_open:
            return links[0]
        return next((link for link in links if link.is_open), links[0])

    def all_of(self, node_id: str) -> list[LinkT]:
        """Return all links of a node, the best first."""
        return list(self._links.get(node_id, ()))

    def add(self, link: LinkT) -> Change[LinkT]:
        """Take a finished link; `to_drain` is the one that lost against the other.

        `surplus` are those beyond LINKS_PER_NODE_MAX, to be closed without draining.
        """
        links = self._links.setdefault(link.node_id, [])
        before = links[0] if links else None
        links.append(link)
        links.sort(key=self._rank, reverse=True)
        if before is None:
            return Change(first=True)
        return Change(
            to_drain=before if links[0] is link else link,
            surplus=tuple(links[LINKS_PER_NODE_MAX:]),
        )

    def remove(self, link: LinkT) -> Change[LinkT]:
        """Drop an ended link; `promoted` is the one to send on from now, if it is another."""
        links = self._links.get(link.node_id, [])
        if link not in links:
            return Change()
        was_best = links[0] is link
        links.remove(link)
        if not links:
            del self._links[link.node_id]
            return Change(last=True)
        return Change(promoted=links[0] if was_best else None)

    def _rank(self, link: LinkT) -> tuple[bool, str]:
        # The lower node id keeps what it dialled; of two such dials the later one counts,
        # because the earlier may be dead without its listener knowing.
        dialler_is_lower = link.outbound == (self._own_node_id < link.node_id)
        return (dialler_is_lower, link.dialler_nonce)
