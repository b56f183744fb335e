"""Meshes on loopback that sync: the real driver, protocol and tables, a database for each node."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

from django.db import transaction

from marketplace.messages import TOPIC, OfferingAnnounce, OfferingBody
from marketplace.models import Offering
from p2p import outbox, watermarks
from p2p.mesh.mesh import Mesh
from p2p.mesh.settings import PeerInfo, Profile
from p2p.models import Record
from p2p.protocol.codec import Received
from p2p.protocol.messages import NeighbourMessage
from p2p.protocol.timestamps import to_timestamp
from p2p.record_store import TopicStore
from p2p.registration import registry, topic_named
from p2p.sync.marks import Mark
from p2p.sync.responder import live_hash
from p2p.sync_driver import SyncDriver
from tests.support.cluster import NETWORK, Cluster, SimNode
from tests.support.mesh_nodes import HOST, QUICK

R = TypeVar("R")


class SyncingNode:
    """One node: a mesh without push, so that only sync carries records."""

    def __init__(self, cluster: Cluster, name: str, database: ThreadPoolExecutor) -> None:
        self.sim: SimNode = cluster.add(name)
        self.sim.connection.inc_thread_sharing()
        self._cluster = cluster
        self._database = database
        self.mesh = Mesh(
            identity=self.sim.local.identity,
            network=NETWORK,
            profile=Profile(swarm=self.sim.local.swarm),
            registry=registry,
            deliver=lambda received, from_node_id: True,
            on_peer_up=self._peer_up,
            on_peer_down=lambda node_id: self.driver.peer_down(node_id),
            on_neighbour=self._heard,
            limits=QUICK,
        )
        self.driver = SyncDriver(
            neighbours=self.mesh,
            network=NETWORK,
            registry=registry,
            is_member=lambda peer: False,
            on_database=self.run,
            rng=random.Random(name),
            now=lambda: cluster.now,
        )
        self.heard: list[NeighbourMessage] = []
        self._running: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self.sim.node_id

    async def run(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Call a function as this node, on the one thread that uses databases."""

        def call() -> R:
            with self._cluster.acting(self.sim):
                return function(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._database, call)

    async def start(self) -> None:
        await self.mesh.start(HOST, 0)
        self._running = asyncio.create_task(self.driver.run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self.mesh.stop()

    async def announce(self, count: int = 1) -> None:
        """Write offerings of this node, which nobody is told of."""
        await self.run(self._announce, count)

    @transaction.atomic
    def _announce(self, count: int) -> None:
        now = self._cluster.now
        for _ in range(count):
            body = OfferingBody(
                id=uuid.UUID(int=self._cluster.random.getrandbits(128)).hex,
                node_id=self.id,
                swarm="home",
                addresses=[],
                idle_agents=1,
                capabilities=[],
                price_per_task=1,
                currency="VOID",
                policy="accepted_result",
                isolation="worktree",
                api_keys=False,
                expires_at=to_timestamp(now + timedelta(hours=1)),
                created_at=to_timestamp(now),
            )
            outbox.publish_record(OfferingAnnounce, now=now, offering=body)

    async def hash(self) -> str:
        """Return the hash over its live offerings."""
        return await self.run(lambda: live_hash(TopicStore(topic_named(TOPIC), self._cluster.now)))

    async def marks(self) -> dict[str, Mark]:
        return await self.run(lambda: watermarks.all_marks(TOPIC))

    async def offerings(self) -> int:
        """Return how many offerings of others the layer above has."""
        return await self.run(lambda: Offering.objects.exclude(node_id=self.id).count())

    async def records(self) -> int:
        return await self.run(Record.objects.count)

    def _peer_up(self, peer: PeerInfo) -> None:
        self.driver.peer_up(peer)

    def _heard(self, received: Received[NeighbourMessage], from_node_id: str) -> None:
        self.heard.append(received.message)
        self.driver.on_neighbour(received, from_node_id)


async def equal(*nodes: SyncingNode) -> bool:
    """Tell whether all nodes hold the same offerings."""
    return len({await node.hash() for node in nodes}) == 1
