"""Who counts as linked: several connections of a node are one link to the layers above."""

from __future__ import annotations

import logging
from collections.abc import Callable

from p2p.mesh.connection import Connection
from p2p.mesh.links import LinkTable
from p2p.mesh.settings import PeerInfo

log = logging.getLogger(__name__)


class Presence:
    """Sorts finished connections out, and tells of the nodes that come, go or change."""

    def __init__(
        self,
        links: LinkTable[Connection],
        *,
        on_up: Callable[[PeerInfo], None],
        on_down: Callable[[str], None],
    ) -> None:
        """Take the table of links and whom to tell; who is told may fail, it is logged."""
        self._links = links
        self._on_up = on_up
        self._on_down = on_down
        self._membership: dict[str, bool] = {}  # as the nodes were told of

    def opened(self, connection: Connection) -> None:
        """Take a finished link, and drain the one that lost against another."""
        change = self._links.add(connection)
        if change.to_drain is not None:
            change.to_drain.drain()
        for surplus in change.surplus:
            surplus.close("duplicate_link", "this node has too many connections")
        if change.first:
            self._up(connection)
        else:
            self._renew(connection.node_id)

    def closed(self, connection: Connection) -> None:
        """Drop an ended link; its node is down when this was the last one."""
        change = self._links.remove(connection)
        if change.promoted is not None:
            change.promoted.undrain()
        if change.last:
            self._down(connection.node_id)
        else:
            self._renew(connection.node_id)

    def _up(self, link: Connection) -> None:
        self._membership[link.node_id] = link.is_member
        try:
            self._on_up(info_of(link))
        except Exception:
            log.exception("on_peer_up failed")

    def _down(self, node_id: str) -> None:
        del self._membership[node_id]
        try:
            self._on_down(node_id)
        except Exception:
            log.exception("on_peer_down failed")

    def _renew(self, node_id: str) -> None:
        """Tell of a node anew when the link in use now proves another membership."""
        link = self._links.best(node_id)
        if link is not None and link.is_member != self._membership[node_id]:
            self._down(node_id)
            self._up(link)


def info_of(link: Connection) -> PeerInfo:
    """Return what is known of the other end of a finished link."""
    assert link.peer is not None
    hello = link.peer.hello
    return PeerInfo(
        node_id=link.node_id,
        swarm=hello.swarm,
        member=link.peer.member,
        role=hello.role,
        host=link.host,
        p2p_port=hello.p2p_port,
        http_port=hello.http_port,
        addresses=list(hello.addresses),
        latency_ms=link.latency_ms,
        connected_at=link.connected_at,
        direction="outbound" if link.outbound else "inbound",
    )
