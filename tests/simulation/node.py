"""One simulated node: the production mesh, gossip, sync and clock, composed as a real node is."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from p2p.discovery.driver import Discovery
from p2p.discovery.messages import Pex
from p2p.gossip.ids import RecordId, id_of
from p2p.mesh.mesh import Mesh
from p2p.mesh.settings import MeshLimits, PeerInfo, Profile
from p2p.protocol.clock import HybridClock
from p2p.protocol.codec import Received
from p2p.protocol.messages import NeighbourMessage, Record
from p2p.protocol.signing import seal
from p2p.registration import Topic
from p2p.sync.items import Item
from p2p.sync.marks import Mark
from p2p.sync.messages import SyncResponse
from p2p.sync_driver import SyncDriver
from tests.simulation.home import Home, Table
from tests.simulation.steps import Finished, TableSteps
from tests.simulation.store import Change, TableStore, moment
from tests.simulation.topics import NETWORK, REGISTRY, topics_of
from tests.simulation.virtual_time import Process, VirtualLoop

R = TypeVar("R")
PORT = 7101
WALL_START_MS = 1_800_000_000_000
INBOX_MAX = 60
BATCH_MAX = 25
STALE_AFTER_MS = 7 * 86_400_000
WORK_S = 0.002  # what one transaction takes


class Watcher(Protocol):
    """Who sees everything that happens at a node."""

    def wrote(self, node: SimNode, record: Record, raw: bytes, *, again: bool) -> None: ...

    def changed(self, node: SimNode, change: Change) -> None: ...

    def delivered(self, node: SimNode, record_id: RecordId) -> None: ...

    def ticked(self, node: SimNode) -> None: ...

    def finished(self, node: SimNode, session: Finished) -> None: ...


@dataclass(frozen=True)
class Settings:
    """What a node is told at its start."""

    swarm: str
    limits: MeshLimits
    links_wanted: int
    with_discovery: bool


class SimNode:
    """A home on a machine, and from time to time a process that serves it."""

    def __init__(
        self,
        number: int,
        home: Home,
        loop: VirtualLoop,
        settings: Settings,
        watcher: Watcher,
        seed: str,
    ) -> None:
        """Take a number, which gives the address, and everything that outlives a process."""
        self.number = number
        self.home = home
        self.loop = loop
        self.settings = settings
        self.watcher = watcher
        self.address = f"10.0.{number // 250}.{number % 250 + 1}"
        self.skew_ms = 0
        self.lives = 0
        self.process: Process | None = None
        self.seeds: list[str] = []
        self.changed_answer: Callable[[SyncResponse], SyncResponse] = lambda response: response
        self.accepted: set[RecordId] = set()  # by this process, from the gossip
        self.topics: dict[str, Topic] = topics_of(settings.swarm, self._holds_task)
        self._seed = seed

    @property
    def id(self) -> str:
        """The node id."""
        return self.home.id

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self.process is not None

    def now_ms(self) -> int:
        """Return the wall clock of the machine."""
        return WALL_START_MS + int(self.loop.time() * 1000) + self.skew_ms

    def start(self) -> None:
        """Start a process, which knows only what the home holds."""
        self.lives += 1
        self.accepted = set()
        self._cache: dict[str, tuple[int, int, list[Item]]] = {}
        self._inbox: deque[Received[Any]] = deque()
        self._arrived, self._rung = asyncio.Event(), asyncio.Event()
        self._busy_until = 0.0
        self.home.database.clock = self.home.database.life_began = self._clock().tick()
        self.process = Process(self.address)
        self._compose(random.Random(f"{self._seed} {self.number} {self.lives}"))
        self.process.start(self._run())

    def down(self) -> None:
        """Forget the process, which was ended."""
        self.process = None

    def _compose(self, chance: random.Random) -> None:
        profile = Profile(swarm=self.settings.swarm, secret=f"secret of {self.settings.swarm}")
        self.mesh = Mesh(
            identity=self.home.identity,
            network=NETWORK,
            profile=profile,
            registry=REGISTRY,
            deliver=self._deliver,
            on_peer_up=self._peer_up,
            on_peer_down=self._peer_down,
            on_neighbour=self._neighbour_said,
            on_fetch=lambda node_id, ids: self.begin(self._send_stored(node_id, ids)),
            on_own_record_ahead=lambda record: self.begin(self._note_own(record)),
            now=self.loop.time,
            now_ms=self.now_ms,
            chance=chance,
            secret_bytes=chance.randbytes,
            limits=self.settings.limits,
        )
        self.driver = SyncDriver(
            neighbours=self.mesh,
            network=NETWORK,
            registry=REGISTRY,
            is_member=lambda peer: peer.member,
            on_database=self.on_database,
            on_thread=_at_once,
            rng=chance,
            now=lambda: moment(self.now_ms()),
            monotonic=self.loop.time,
            topics=self.topics.values,
            steps=TableSteps(self),
        )
        self.discovery = Discovery(
            links=self.mesh,
            node_id=self.id,
            network=NETWORK,
            now=self.loop.time,
            links_wanted=self.settings.links_wanted,
            chance=chance,
        )

    async def _run(self) -> None:
        await self.mesh.start(self.address, PORT)
        self.begin(self._pump())
        self.begin(self._relay())
        self.begin(self.driver.run())
        if self.settings.with_discovery:
            self.begin(self.discovery.run())
        for host in self.seeds:
            self.mesh.dial(host, PORT)

    def begin(self, work: Any) -> None:
        """Run a coroutine in this node's process."""
        assert self.process is not None
        asyncio.get_running_loop().create_task(work)

    async def on_database(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Run one transaction after the other, each a little later."""
        now = self.loop.time()
        self._busy_until = max(now, self._busy_until) + WORK_S
        await asyncio.sleep(self._busy_until - now)
        result = function(*args, **kwargs)
        if self.home.database.outbox:
            self._rung.set()
        self.watcher.ticked(self)
        return result

    def store(self, topic: str) -> TableStore:
        """Return a topic's records now."""
        return TableStore(
            self.home,
            self.topics[topic],
            self.now_ms(),
            changed=lambda change: self.watcher.changed(self, change),
            publish_again=self.publish_again,
            cache=self._cache,
        )

    def witness(self, lamport_ts: int) -> None:
        """Move the stored clock past a stamp."""
        self._clock().witness(lamport_ts)
        self.home.database.clock = self._last_clock.value

    def publish(self, kind: type[Record], *, again: bool = False, **fields: Any) -> Record:
        """Write the next version of a record of our own: row and outbox in one transaction."""
        store = self.store(kind.topic)
        own = store.own_mark()
        stamp = self._clock().tick()
        self.home.database.clock = stamp
        record = kind(
            origin=self.id,
            public_key=self.home.identity.public_key_text,
            lamport_ts=stamp,
            incarnation=own.incarnation,
            seq=own.seq + 1,
            **fields,
        )
        raw = seal(record, self.home.identity, NETWORK)
        self.watcher.wrote(self, record, raw, again=again)
        store.store_own(record, raw)
        self.home.database.outbox.append(raw)
        return record

    def publish_again(self) -> None:
        """Publish our records of earlier incarnations anew, as p2p.own_numbering does."""
        current = self.home.incarnation()
        for topic in self.topics:
            store = self.store(topic)
            own = [
                each.record
                for each in store.table.kept.values()
                if each.record.origin == self.id
                and each.record.incarnation < current
                and each.record.lamport_ts > self.home.database.life_began
                and not store.is_over(each.record)
            ]
            for record in own:
                fields = {name: getattr(record, name) for name in _own_fields(record)}
                self.publish(type(record), again=True, **fields)

    def discard_stale(self, topic: Topic) -> None:
        """Discard what is held of others when the topic was not synced for too long."""
        table: Table = self.home.database.tables[topic.name]
        before_ms, table.synced_ms = table.synced_ms, table.synced_ms or self.now_ms()
        if before_ms is None or self.now_ms() - before_ms <= STALE_AFTER_MS:
            return
        table.kept = {k: v for k, v in table.kept.items() if v.record.origin == self.id}
        table.progress, table.parked, table.synced_ms = {}, {}, self.now_ms()
        table.version += 1

    def finished(self, session: Finished) -> None:
        """Tell of a session that ran to its end."""
        self.watcher.finished(self, session)

    def _clock(self) -> HybridClock:
        self._last_clock = HybridClock(self.now_ms, self.home.database.clock)
        return self._last_clock

    def _holds_task(self, key: str) -> bool:
        return key in self.home.database.tables["tasks"].kept

    def _deliver(self, received: Received[Any], from_node_id: str) -> bool:
        if len(self._inbox) >= INBOX_MAX:
            return False
        if isinstance(received.message, Record):
            self.watcher.delivered(self, id_of(received.message))
        self._inbox.append(received)
        self._arrived.set()
        return True

    async def _pump(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._inbox:
                size = min(BATCH_MAX, len(self._inbox))
                batch = [self._inbox.popleft() for _ in range(size)]
                await self.on_database(self._apply, batch)

    def _apply(self, batch: Sequence[Received[Any]]) -> None:
        self.witness(max(each.message.lamport_ts for each in batch))
        for name in self.topics:
            records = [each for each in batch if type(each.message).topic == name]
            if records:
                self.store(name).apply((), records)

    async def _relay(self) -> None:
        while True:
            while self.home.database.outbox:
                sent = list(self.home.database.outbox)
                for raw in sent:
                    self.mesh.publish(raw)
                await self.on_database(self._note_sent, len(sent))
            await self._rung.wait()
            self._rung.clear()

    def _note_sent(self, count: int) -> None:
        del self.home.database.outbox[:count]

    def _peer_up(self, peer: PeerInfo) -> None:
        if self.settings.with_discovery:
            self.discovery.peer_up(peer)
        self.driver.peer_up(peer)

    def _peer_down(self, node_id: str) -> None:
        if self.settings.with_discovery:
            self.discovery.peer_down(node_id)
        self.driver.peer_down(node_id)

    def _neighbour_said(self, received: Received[NeighbourMessage], from_node_id: str) -> None:
        if not isinstance(received.message, Pex):
            self.driver.on_neighbour(received, from_node_id)
        elif self.settings.with_discovery:
            self.discovery.heard_pex(received.message, from_node_id)

    async def _send_stored(self, node_id: str, ids: Sequence[RecordId]) -> None:
        for frame in await self.on_database(self._frames_of, ids):
            self.mesh.send(node_id, frame)

    def _frames_of(self, ids: Sequence[RecordId]) -> list[bytes]:
        wanted = set(ids)
        return [
            each.raw
            for table in self.home.database.tables.values()
            for each in table.kept.values()
            if id_of(each.record) in wanted
        ]

    async def _note_own(self, record: Record) -> None:
        await self.on_database(self._notice_pushed, record)

    def _notice_pushed(self, record: Record) -> None:
        self.witness(record.lamport_ts)
        self.store(record.topic).notice_pushed(Mark(record.incarnation, record.seq))


async def _at_once(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """Do what a thread would do."""
    return function(*args, **kwargs)


_NUMBERS = frozenset(("origin", "public_key", "lamport_ts", "incarnation", "seq"))


def _own_fields(record: Record) -> list[str]:
    return [name for name in record.__struct_fields__ if name not in _NUMBERS]
