"""Real meshes on loopback that find each other, on a clock that the test may set."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from p2p.discovery.driver import Discovery
from p2p.discovery.messages import Pex
from p2p.mesh.mesh import Mesh
from p2p.mesh.settings import PeerInfo, Profile
from p2p.protocol.codec import Received
from p2p.protocol.identity import Identity
from p2p.protocol.messages import NeighbourMessage
from tests.support.mesh_nodes import HOST, QUICK
from tests.support.wire import NETWORK, registry_with_test_messages


@dataclass
class DiscoveringNode:
    """A mesh with discovery; the task that runs it is the owner's."""

    identity: Identity
    mesh: Mesh
    discovery: Discovery
    task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self.identity.node_id

    def linked(self) -> set[str]:
        return {peer.node_id for peer in self.mesh.peers()}


class DiscoveringNodes:
    """Makes nodes and ends all of them."""

    def __init__(self) -> None:
        self._nodes: list[DiscoveringNode] = []

    async def start(
        self, identity: Identity, *, links_wanted: int = 8, network: str = NETWORK
    ) -> DiscoveringNode:
        """Start a node on a free port."""

        def up(peer: PeerInfo) -> None:
            discovery.peer_up(peer)

        def down(node_id: str) -> None:
            discovery.peer_down(node_id)

        def said(received: Received[NeighbourMessage], from_node_id: str) -> None:
            assert isinstance(received.message, Pex)
            discovery.heard_pex(received.message, from_node_id)

        mesh = Mesh(
            identity=identity,
            network=network,
            profile=Profile(swarm="home"),
            registry=registry_with_test_messages(),
            deliver=lambda received, from_node_id: True,
            on_peer_up=up,
            on_peer_down=down,
            on_neighbour=said,
            limits=QUICK,
        )
        discovery = Discovery(
            links=mesh, node_id=identity.node_id, network=network, links_wanted=links_wanted
        )
        node = DiscoveringNode(identity, mesh, discovery)
        self._nodes.append(node)
        await mesh.start(HOST, 0)
        node.task = asyncio.get_running_loop().create_task(discovery.run())
        return node

    async def stop(self) -> None:
        tasks = [node.task for node in self._nodes if node.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(node.mesh.stop() for node in self._nodes))
