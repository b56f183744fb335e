"""The composition root: everything that makes one node, in one asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from django.conf import settings

from marketplace.services.catching_up import meet_partner
from p2p import nodes, own_numbering
from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.discovery.driver import Discovery
from p2p.discovery.messages import Pex
from p2p.doorbell import Doorbell
from p2p.fetching import send_stored
from p2p.gossip.ids import RecordId
from p2p.local import dial_addresses, local_node
from p2p.mesh.mesh import Mesh
from p2p.mesh.settings import PeerInfo, Profile
from p2p.mesh.supervision import TaskOwner
from p2p.mesh.tls import Tls
from p2p.postgresql.one_node import become_its_node
from p2p.protocol.codec import Received
from p2p.protocol.fields import Address, Role
from p2p.protocol.messages import NeighbourMessage, Record
from p2p.registration import registry
from p2p.relay import Relay
from p2p.sync_driver import SyncDriver
from swarm.agents.loop import AgentLoop
from swarm.services import jobs
from swarm.worktrees.care import care_for_worktrees
from voidlux_site.live import publish_live, publish_screen
from voidlux_site.node import beacons, chores, electing, start_up
from voidlux_site.node.inbox_pump import InboxPump
from voidlux_site.node.listening import naming
from voidlux_site.node.member_links import keep_member_links
from voidlux_site.node.web import WebServer
from voidlux_site.node.worker import Worker

log = logging.getLogger(__name__)

LATENCY_EVERY_S = 15.0
WEB_STOP_S = 3.0
WORKER_STOP_S = 5.0
LAST_FLUSH_S = 2.0


class Node:
    """One node: mesh, relay, agents, web and worker; started and stopped as a whole."""

    def __init__(self, *, with_web: bool = True, with_worker: bool = True) -> None:
        environment = settings.ENVIRONMENT
        node = local_node()
        self._environment = environment
        self._database = DatabaseThread()
        self._doorbell = Doorbell(node.home)
        self._tasks = TaskOwner("node")
        self._pump = InboxPump(self._database)
        self._mesh = Mesh(
            identity=node.identity,
            network=node.network,
            profile=Profile(
                swarm=node.swarm,
                secret=environment.auth_secret.get_secret_value(),
                role=environment.role,
                p2p_port=environment.p2p_port,
                http_port=environment.http_port if with_web else 0,
                addresses=tuple(Address(host=host, port=port) for host, port in dial_addresses()),
            ),
            tls=Tls.of(node.identity) if environment.mesh_tls == "on" else None,
            registry=registry,
            deliver=self._pump.deliver,
            on_peer_up=self._peer_up,
            on_peer_down=self._peer_down,
            on_neighbour=self._neighbour_said,
            on_fetch=self._fetch,
            on_own_record_ahead=self._own_record_ahead,
        )
        self._sync = SyncDriver(
            neighbours=self._mesh,
            network=node.network,
            registry=registry,
            is_member=lambda peer: peer.member,
            on_database=self._database.run,
        )
        self._discovery = Discovery(links=self._mesh, node_id=node.node_id, network=node.network)
        self._relay = Relay(
            sender=self._mesh,
            database=self._database,
            publish=publish_live,
            rung=self._doorbell.listener(),
        )
        self._agents = AgentLoop(
            self._database,
            self._doorbell.listener(),
            self._doorbell.listener(),
            publish_screen,
        )
        self._web = WebServer(environment.host, environment.http_port) if with_web else None
        self._worker = (
            Worker(node.home, settings.CELERY_TASK_DEFAULT_QUEUE, on_death=self._recover_jobs)
            if with_worker
            else None
        )

    async def start(self) -> None:
        """Migrate, reconcile, open the ports and begin; DomainError where a port is in use."""
        await self._database.run(become_its_node)
        await self._database.run(start_up.migrate)
        await self._database.run(start_up.reconcile)
        await self._open_ports()
        await self._database.run(start_up.take_part)
        await self._doorbell.start()
        self._run("inbox", self._pump.run())
        self._run("relay", self._relay.run())
        self._run("sync", self._sync.run())
        self._run("agents", self._agents.run())
        self._run("dispatch", chores.dispatch_when_rung(self._database, self._doorbell.listener()))
        self._run("worktrees", care_for_worktrees(self._database))
        self._run("sweep", chores.sweep(self._database))
        election = electing.take_part(self._database, self._doorbell.listener(), self._show_role)
        self._run("election", election)
        self._run("heartbeats", chores.give_heartbeats(self._database))
        self._run("latencies", self._note_latencies())
        self._run("members", keep_member_links(self._mesh, self._database))
        if self._worker is not None:
            self._run("worker", self._worker.run())
        for seed in self._environment.seeds:
            self._mesh.dial(seed.host, seed.port)
        await self._discover()

    async def stop(self) -> None:
        """Say goodbye, keep the outbox, end the worker and idle sessions; at most about 12 s."""
        # The sweep would offer again at once what is about to be withdrawn.
        await self._tasks.end("sweep")
        await self._quietly("withdrawing", self._database.run(start_up.close_shop))
        stops: list[Coroutine[Any, Any, None]] = [self._agents.stop()]
        if self._worker is not None:
            stops.append(self._worker.stop(WORKER_STOP_S))
        await self._quietly("stopping agents and worker", _all(stops))
        await self._quietly("the last flush", self._flush_last())
        if self._web is not None:
            await self._quietly("stopping the web server", self._web.stop(WEB_STOP_S))
        await self._quietly("leaving the mesh", self._mesh.stop("stopping"))
        await self._tasks.stop()
        self._doorbell.stop()
        await asyncio.to_thread(self._database.stop)

    async def _flush_last(self) -> None:
        async with asyncio.timeout(LAST_FLUSH_S):
            await self._relay.flush()

    async def _recover_jobs(self) -> None:
        # Only this worker runs this node's jobs: what still says `running` died with it.
        await self._database.run(jobs.recover_all, now_utc())

    async def _open_ports(self) -> None:
        environment = self._environment
        with naming("VOIDLUX_P2P_PORT", environment.p2p_port, environment.host):
            await self._mesh.start(environment.host, environment.p2p_port)
        if self._web is not None:
            with naming("VOIDLUX_HTTP_PORT", environment.http_port, environment.host):
                await self._web.start()

    async def _discover(self) -> None:
        """Dial who was met before, and look for more in the network and around."""
        self._discovery.remember(await self._database.run(nodes.contacts_met, now_utc()))
        self._run("discovery", self._discovery.run())
        beacon = await beacons.open_beacon(self._environment, self._discovery.heard_beacon)
        if beacon is not None:
            self._run("beacon", beacon.run())

    def _run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.start(name, work)

    async def _quietly(self, what: str, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except Exception as error:
            log.warning("%s: %s", what, error or type(error).__name__)

    def _show_role(self, role: Role) -> None:
        """Let later HELLOs tell the part that the election gave this node."""
        if self._mesh.profile.role != role:
            self._mesh.profile = dataclasses.replace(self._mesh.profile, role=role)

    def _peer_up(self, peer: PeerInfo) -> None:
        log.info("linked to %s of %s at %s", peer.node_id[:8], peer.swarm, peer.host)
        self._discovery.peer_up(peer)
        self._run(f"greet {peer.node_id}", self._greet(peer))
        self._sync.peer_up(peer)

    def _peer_down(self, node_id: str) -> None:
        log.info("lost the link to %s", node_id[:8])
        self._discovery.peer_down(node_id)
        self._sync.peer_down(node_id)
        self._run(
            f"down {node_id}",
            self._database.run(nodes.node_down, node_id=node_id, now=now_utc()),
        )

    def _neighbour_said(self, received: Received[NeighbourMessage], from_node_id: str) -> None:
        if isinstance(received.message, Pex):
            self._discovery.heard_pex(received.message, from_node_id)
        else:
            self._sync.on_neighbour(received, from_node_id)

    def _fetch(self, node_id: str, ids: Sequence[RecordId]) -> None:
        # One at a time for each peer: what is not answered is asked for elsewhere.
        fetched = send_stored(node_id, ids, send=self._mesh.send, on_database=self._database.run)
        self._run(f"fetch for {node_id}", fetched)

    def _own_record_ahead(self, record: Record) -> None:
        rank = (record.incarnation, record.seq)
        self._run(f"own record {record.topic} {rank}", self._note_own_record(record))

    async def _note_own_record(self, record: Record) -> None:
        rank = (record.incarnation, record.seq)
        await self._database.run(
            own_numbering.notice_pushed, record.topic, rank, record.lamport_ts, now_utc()
        )

    async def _greet(self, peer: PeerInfo) -> None:
        """Remember the peer; its commands become due."""
        addresses = [{"host": each.host, "port": each.port} for each in peer.addresses]
        if not addresses and peer.p2p_port:
            addresses = [{"host": peer.host, "port": peer.p2p_port}]
        await self._database.run(
            nodes.node_up,
            node_id=peer.node_id,
            swarm=peer.swarm,
            member=peer.member,
            role=peer.role,
            addresses=addresses,
            http_port=peer.http_port,
            now=now_utc(),
        )
        await self._database.run(meet_partner, peer.node_id, now_utc())
        if peer.member:
            await self._database.run(start_up.meet_member, now_utc())

    async def _note_latencies(self) -> None:
        while True:
            measured = {
                peer.node_id: peer.latency_ms
                for peer in self._mesh.peers()
                if peer.latency_ms is not None
            }
            with contextlib.suppress(Exception):
                await self._database.run(nodes.note_latencies, measured, now_utc())
            await asyncio.sleep(LATENCY_EVERY_S)


async def run_until_stopped(
    node: Node, announce: Coroutine[Any, Any, None], on_stop: Callable[[], None]
) -> int:
    """Run a node until SIGINT or SIGTERM and return 0; DomainError where it cannot start.

    `on_stop` is called when the signal has come, before the node is stopped.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await node.start()
        await announce
        await stop.wait()
        on_stop()
    finally:
        announce.close()
        await node.stop()
    return 0


async def _all(works: list[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*works)
