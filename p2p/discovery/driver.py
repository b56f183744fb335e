"""Keeps a node linked to enough others: exchanges peers, collects candidates, dials them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from p2p.discovery.beacon import BeaconReader
from p2p.discovery.candidates import Candidates, Contact, Kind
from p2p.discovery.messages import Pex
from p2p.discovery.pex import ProvenNode, ProvenNodes, believable
from p2p.mesh.settings import PeerInfo
from p2p.protocol import limits
from p2p.protocol.codec import encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.fields import Address
from p2p.protocol.token_bucket import TokenBucket

log = logging.getLogger(__name__)


class Links(Protocol):
    """What discovery needs of the mesh."""

    def peers(self) -> list[PeerInfo]:
        """Return the linked nodes."""

    def send(self, node_id: str, payload: bytes) -> bool:
        """Send to a linked node."""

    def dial_node(self, node_id: str, addresses: list[Address]) -> None:
        """Try to link a node once."""


class Discovery:
    """One node's discovery, on the event loop of its mesh."""

    def __init__(
        self,
        *,
        links: Links,
        node_id: str,
        network: str,
        now: Callable[[], float] = time.monotonic,
        links_wanted: int = limits.LINKS_WANTED,
        chance: random.Random | None = None,
    ) -> None:
        """Take the mesh, who we are, a monotonic clock (seconds) and how many links are enough.

        `chance` chooses whom to tell of and spreads the waits.
        """
        self.counters: Counter[str] = Counter()
        self._links = links
        self._now = now
        self._links_wanted = links_wanted
        self._chance = chance or random.Random()
        self._candidates = Candidates(node_id, jitter=self._chance.random)
        self._proven = ProvenNodes(sample=self._chance.sample)
        self._reader = BeaconReader(network=network, own_node_id=node_id)
        self._hosts: dict[str, str] = {}
        self._paces: dict[str, TokenBucket] = {}
        self._wake = asyncio.Event()
        self._exchange_at = 0.0

    def peer_up(self, peer: PeerInfo) -> None:
        """Learn of a linked node, and tell it at once of others."""
        now = self._now()
        self._hosts[peer.node_id] = peer.host
        self._paces[peer.node_id] = TokenBucket(limits.PEX_PER_S, limits.PEX_BURST, now)
        self._candidates.forget(peer.node_id)
        self._note(peer, now)
        self._tell(peer, now)

    def peer_down(self, node_id: str) -> None:
        """Learn that a node is gone: it becomes a candidate, to be dialled again."""
        self._hosts.pop(node_id, None)
        self._paces.pop(node_id, None)
        contact = self._proven.contact_of(node_id)
        if contact is not None:
            self.remember([contact])

    def remember(self, contacts: Iterable[Contact]) -> None:
        """Take nodes that were met before as candidates."""
        self._heard(Kind.KNOWN, "", contacts)

    def heard_pex(self, message: Pex, from_node_id: str) -> None:
        """Take what a neighbour says; more often than is useful is ignored and counted."""
        pace = self._paces.get(from_node_id)
        if pace is None or pace.take(1, self._now()) > 0:
            self.counters["pex_ignored"] += 1
            return
        contacts = believable(message.peers, self._hosts[from_node_id])
        self.counters["pex_entries_refused"] += len(message.peers) - len(contacts)
        self._heard(Kind.PEX, from_node_id, contacts)

    def heard_beacon(self, data: bytes, host: str) -> None:
        """Take a datagram; a bad one is counted under its reason and costs nothing else."""
        try:
            contact = self._reader.read(data, host, self._now())
        except ProtocolError as error:
            self.counters[f"beacon_{error.reason}"] += 1
            return
        if contact is not None:
            self._heard(Kind.UDP, host, [contact])

    async def run(self) -> None:
        """Exchange every PEX_EVERY_S, dial while links are missing, until cancelled."""
        while True:
            try:
                self.step()
            except Exception:
                log.exception("discovery failed and goes on")
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.DISCOVERY_LOOK_S):
                    await self._wake.wait()

    def step(self) -> None:
        """Do what is due now: tell every neighbour, dial some candidates."""
        now = self._now()
        peers = self._links.peers()
        if now >= self._exchange_at:
            self._exchange_at = now + limits.PEX_EVERY_S * self._chance.uniform(0.75, 1.25)
            for peer in peers:
                self._note(peer, now)
            for peer in peers:
                self._tell(peer, now)
        linked = {peer.node_id for peer in peers}
        wanted = self._links_wanted - len(linked)
        for contact in self._candidates.take(wanted, linked=linked, now=now):
            self.counters["dialled"] += 1
            self._links.dial_node(contact.node_id, [Address(host=contact.host, port=contact.port)])

    def _heard(self, kind: Kind, source: str, contacts: Iterable[Contact]) -> None:
        if self._candidates.add(kind, source, contacts, self._now()):
            self._wake.set()

    def _note(self, peer: PeerInfo, now: float) -> None:
        self._proven.note(ProvenNode(peer.node_id, peer.host, peer.p2p_port, peer.swarm, now))

    def _tell(self, peer: PeerInfo, now: float) -> None:
        told = self._proven.told_to(peer.node_id, peer.host, now)
        if told.peers:
            self._links.send(peer.node_id, encode_message(told))
