"""Follows the emperor over the mesh, as a member that says nothing and stores nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from p2p.discovery.driver import Discovery
from p2p.discovery.messages import Pex
from p2p.mesh.mesh import Mesh, unix_ms
from p2p.mesh.settings import MeshLimits, PeerInfo, Profile
from p2p.mesh.supervision import TaskOwner
from p2p.mesh.tls import Tls
from p2p.protocol.codec import Received
from p2p.protocol.identity import Identity
from p2p.protocol.messages import NeighbourMessage
from p2p.protocol.registry import MessageRegistry
from swarm.replication.messages import ElectionVictory, EmperorHeartbeat
from voidlux_site.environment_types import is_loopback_host
from voidlux_site.seneschal.follower import BELIEVED, Emperor, Follower
from voidlux_site.seneschal.limits import CONNECT_S, LOOK_EVERY_S, PROBE_EVERY_S

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where requests go: the API of one emperor in one term."""

    node_id: str
    counter: int
    host: str
    port: int

    @property
    def reign(self) -> tuple[str, int]:
        """What a change of emperor changes, and a change of its address does not."""
        return self.node_id, self.counter

    @property
    def address(self) -> str:
        """Host and port as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the Seneschal stands in the mesh; `http_port` is what its HELLO says."""

    network: str
    swarm: str
    secret: str
    host: str
    p2p_port: int
    http_port: int
    seeds: Sequence[tuple[str, int]] = ()


class Following:
    """Knows the emperor's address at every moment, and tells whoever waits for one."""

    def __init__(
        self,
        *,
        identity: Identity,
        place: Place,
        registry: MessageRegistry,
        stale_s: float,
        say: Callable[[str], None],
        tls: Tls | None = None,
        limits: MeshLimits | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take who and where we are, the messages of the mesh, and who prints a line.

        `stale_s`: after so many seconds without a sign of life there is no emperor.
        """
        self.follower = Follower(place.swarm, stale_s)
        self.upstream: Upstream | None = None
        self.place = place
        self._say = say
        self._now = now
        self._refusing: Upstream | None = None
        self._listeners: list[Callable[[], None]] = []
        self._changed = asyncio.Event()
        self._tasks = TaskOwner("seneschal")
        self._mesh = Mesh(
            identity=identity,
            network=place.network,
            profile=Profile(
                swarm=place.swarm,
                secret=place.secret,
                role="seneschal",
                p2p_port=place.p2p_port,
                http_port=place.http_port,
            ),
            registry=registry,
            deliver=self._deliver,
            on_peer_up=self._peer_up,
            on_peer_down=self._peer_down,
            on_neighbour=self._neighbour_said,
            tls=tls,
            limits=limits,
        )
        self._discovery = Discovery(
            links=self._mesh, node_id=identity.node_id, network=place.network
        )

    async def start(self) -> int:
        """Join the mesh and return the bound port; OSError where the port is in use."""
        port = await self._mesh.start(self.place.host, self.place.p2p_port)
        for host, seed_port in self.place.seeds:
            self._mesh.dial(host, seed_port)
        self._tasks.start("discovery", self._discovery.run())
        self._tasks.start("watch", self._watch())
        return port

    async def stop(self) -> None:
        """Leave the mesh."""
        await self._tasks.stop()
        await self._mesh.stop("stopping")

    def on_change(self, listener: Callable[[], None]) -> None:
        """Register who is called, with nothing, whenever `upstream` is another."""
        self._listeners.append(listener)

    async def changed(self) -> None:
        """Wait until `upstream` is another."""
        await self._changed.wait()

    def refuses(self, upstream: Upstream) -> None:
        """Learn that nobody takes connections there: no emperor until somebody does."""
        if self.upstream == upstream:
            self._refusing = upstream
            self._look()
            self._tasks.start(f"probe {upstream.address}", self._probe(upstream))

    def peers(self) -> list[PeerInfo]:
        """Return the linked nodes."""
        return self._mesh.peers()

    def heard_age_s(self) -> float | None:
        """Return how long ago the last emperor was heard, None when none ever was."""
        last = self.follower.last
        return None if last is None else self._now() - last.heard_s

    def _deliver(self, received: Received, from_node_id: str) -> bool:
        message = received.message
        if isinstance(message, EmperorHeartbeat | ElectionVictory):
            refusal = self.follower.heard(message, now_s=self._now(), now_ms=unix_ms())
            if refusal == BELIEVED:
                self._mesh.dial_node(message.origin, message.addresses)
                self._look()
            elif refusal != "repeated":
                self._mesh.name(message.origin, refusal, f"term {message.term.counter} is refused")
        # Everything else is for nodes: taken, so that it goes on to the other peers.
        return True

    def _neighbour_said(self, received: Received[NeighbourMessage], from_node_id: str) -> None:
        if isinstance(received.message, Pex):
            self._discovery.heard_pex(received.message, from_node_id)

    def _peer_up(self, peer: PeerInfo) -> None:
        self._discovery.peer_up(peer)
        self._look()

    def _peer_down(self, node_id: str) -> None:
        self._discovery.peer_down(node_id)
        self._look()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._look()

    async def _probe(self, upstream: Upstream) -> None:
        """Try whether somebody listens there again, for as long as it is the emperor's place."""
        while self._refusing == upstream and self._place_of_emperor() == upstream:
            await asyncio.sleep(PROBE_EVERY_S)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_S):
                    _, writer = await asyncio.open_connection(upstream.host, upstream.port)
                writer.close()
                break
        if self._refusing == upstream:
            self._refusing = None
            self._look()

    def _look(self) -> None:
        """Compare what is known with what was told, and tell of a change."""
        place = self._place_of_emperor()
        now = None if place == self._refusing else place
        if now == self.upstream:
            return
        before, self.upstream = self.upstream, now
        self._tell(before)
        self._changed.set()
        self._changed = asyncio.Event()
        for listener in self._listeners:
            listener()

    def _place_of_emperor(self) -> Upstream | None:
        emperor = self.follower.emperor(self._now())
        if emperor is None or not emperor.http_port:
            return None
        host = self._host_of(emperor)
        term = emperor.term
        return Upstream(term.node_id, term.counter, host, emperor.http_port) if host else None

    def _host_of(self, emperor: Emperor) -> str:
        """Return the host by which the emperor is linked, else the best one that it names."""
        for peer in self._mesh.peers():
            if peer.node_id == emperor.term.node_id and peer.host:
                return peer.host
        # Another machine's loopback address would be our own machine.
        here = is_loopback_host(self.place.host)
        hosts = [each.host for each in emperor.addresses]
        return next((host for host in hosts if here or not is_loopback_host(host)), "")

    def _tell(self, before: Upstream | None) -> None:
        if (now := self.upstream) is not None:
            self._say(f"emperor: {now.node_id[:8]}, term {now.counter}, at http://{now.address}")
        elif before is not None and self._refusing == before:
            self._say(f"no emperor: {before.node_id[:8]} refuses connections at {before.address}")
        elif (last := self.follower.last) is not None and last.abdicated:
            self._say(f"no emperor: {last.term.node_id[:8]} gave its office up")
        elif last is not None:
            age_s = self._now() - last.heard_s
            self._say(f"no emperor: {last.term.node_id[:8]} was heard {age_s:.0f} s ago")
