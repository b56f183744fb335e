"""Who may be linked: a bounded number of nodes, with room kept for members of our own swarm."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from p2p.mesh.conduct import Conduct
from p2p.mesh.settings import Profile
from p2p.protocol.errors import ProtocolError
from p2p.protocol.handshake import PeerIdentity
from p2p.protocol.limits import MEMBER_LINKS_MIN

log = logging.getLogger(__name__)


class Occupant(Protocol):
    """What the doorkeeper must know of a link."""

    @property
    def node_id(self) -> str:
        """The proved id of the other end."""

    @property
    def is_member(self) -> bool:
        """Whether it proved to be of our swarm."""

    @property
    def is_open(self) -> bool:
        """Whether nobody has begun to close it."""

    @property
    def active_at(self) -> float:
        """When it last said more than a sign of life, in monotonic seconds."""

    def close(self, reason: str, detail: str = "") -> None:
        """Let it go."""


class Doorkeeper:
    """Decides on every proved node that wants to be linked."""

    def __init__(
        self,
        *,
        profile: Profile,
        links_max: int,
        links: Iterable[Occupant],
        conduct: Conduct,
        count: Callable[[str], None],
    ) -> None:
        """Take our profile, the most links, the present ones (one for each node), and a counter."""
        self.known_members: frozenset[str] = frozenset()
        self._profile = profile
        self._links_max = links_max
        self._links = links
        self._conduct = conduct
        self._count = count

    def admit(self, peer: PeerIdentity, host: str) -> None:
        """Find a place for a proved node, or raise ProtocolError `banned`, `too_many_connections`.

        Where a member needs it, a stranger is let go: the one with the lowest score, among
        those the one that has been silent for the longest.
        """
        if banned_s := self._conduct.banned_s(node_id=peer.node_id):
            raise ProtocolError("banned", f"for {banned_s:.0f} more seconds")
        self._note_false_claim(peer, host)
        links = self._open_links()
        if any(link.node_id == peer.node_id for link in links):
            return
        if not self._fits(links, member=peer.member):
            detail = f"{len(links)} nodes are linked, the most is here"
            raise ProtocolError("too_many_connections", detail)
        if len(links) >= self._links_max:
            self._let_go([link for link in links if not link.is_member])

    def may_dial(self, node_id: str) -> bool:
        """Tell whether dialling makes sense; of a node that is not known yet, `node_id` is ''."""
        if node_id and self._conduct.banned_s(node_id=node_id):
            return False
        links = self._open_links()
        if not node_id:  # who is behind the address may be a member: only the handshake tells
            return len(links) < self._links_max
        return self._fits(links, member=node_id in self.known_members)

    def _fits(self, links: list[Occupant], *, member: bool) -> bool:
        strangers = sum(not link.is_member for link in links)
        members = {link.node_id for link in links if link.is_member}
        known = len(self.known_members | members)
        if not member:
            kept = min(MEMBER_LINKS_MIN, known)
            return len(links) < self._links_max and strangers < self._links_max - kept
        kept = min(MEMBER_LINKS_MIN, max(known, len(members) + 1))
        return len(links) < self._links_max or strangers > self._links_max - kept

    def _let_go(self, strangers: list[Occupant]) -> None:
        worst = min(strangers, key=lambda link: (self._conduct.score(link.node_id), link.active_at))
        log.info("%s is let go to make room for a member", worst.node_id[:8])
        self._count("make_room")
        worst.close("make_room", "the place is kept for a member of the swarm")

    def _open_links(self) -> list[Occupant]:
        return [link for link in self._links if link.is_open]

    def _note_false_claim(self, peer: PeerIdentity, host: str) -> None:
        """Count who names our swarm without proving its secret, and say so once."""
        claims = peer.hello.swarm == self._profile.swarm
        if not self._profile.secret or not claims or peer.member:
            return
        self._count("not_a_member")
        if self._conduct.is_news(peer.node_id, "not_a_member"):
            log.warning(
                "%s at %s names our swarm %s without its secret and is treated as a stranger",
                *(peer.node_id, host, self._profile.swarm),
            )
