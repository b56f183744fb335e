"""Several nodes in one process: a database and a key each, and a network that misbehaves.

The services, the inbox, the outbox and the signed frames are the real ones; only sockets and
real time are missing. Everything random comes from one seed.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper
from pydantic import SecretStr

from p2p import inbox, relay
from p2p.local import LocalNode, acting_as
from p2p.models import OutboxKind
from p2p.models import Record as StoredRecord
from p2p.protocol.identity import Identity
from p2p.protocol.signing import open_sealed
from p2p.record_store import TopicStore
from p2p.registration import registry, topic_named

NETWORK = "testnet"
START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def make_template(path: Path) -> None:
    """Make a migrated, empty database, to be copied for every simulated node."""
    before = connections["default"]
    connections["default"] = DatabaseWrapper(
        {**before.settings_dict, "NAME": str(path)}, alias="default"
    )
    try:
        call_command("migrate", interactive=False, verbosity=0)
        connections["default"].cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connections["default"].close()
    finally:
        connections["default"] = before


@dataclass
class SimNode:
    """One simulated node: its identity, its environment and its own database."""

    name: str
    local: LocalNode
    connection: DatabaseWrapper
    environment: Any
    ahead: timedelta = timedelta(0)  # how far its clock is before the cluster's

    @property
    def node_id(self) -> str:
        return self.local.node_id


@dataclass
class Faults:
    """How the network misbehaves: probabilities per frame."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: bool = False


@dataclass
class Cluster:
    """Nodes, the frames between them and the time."""

    folder: Path
    template: Path
    seed: int = 0
    faults: Faults = field(default_factory=Faults)
    now: datetime = START

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.nodes: dict[str, SimNode] = {}
        self.cut: set[frozenset[str]] = set()
        self._flying: list[tuple[str, bytes]] = []
        registry.freeze()

    def add(self, name: str, *, swarm: str = "", **environment: Any) -> SimNode:
        """Add a node with a fresh database; `environment` overrides single settings.

        Nodes of one `swarm` are members of each other's; without one a node is by itself.
        """
        if swarm:
            environment.setdefault("auth_secret", SecretStr(f"the secret of {swarm}"))
        home = self.folder / name
        home.mkdir(exist_ok=True)
        seed = self.random.randbytes(32)
        local = LocalNode(home, Identity.from_seed(seed), NETWORK, swarm or f"swarm-{name}")
        node = SimNode(
            name,
            local,
            self._connect(home),
            settings.ENVIRONMENT.model_copy(update={"home": home, **environment}),
        )
        self.nodes[name] = node
        return node

    def now_of(self, node: SimNode) -> datetime:
        """Return what a node's own clock shows."""
        return self.now + node.ahead

    @contextlib.contextmanager
    def acting(self, node: SimNode) -> Iterator[None]:
        """Let services run as `node`, on its database and with its environment."""
        before, environment = connections["default"], settings.ENVIRONMENT
        connections["default"] = node.connection
        settings.ENVIRONMENT = node.environment
        try:
            with acting_as(node.local):
                yield
        finally:
            connections["default"] = before
            settings.ENVIRONMENT = environment

    def collect(self) -> None:
        """Take what is due from every outbox onto the network."""
        for node in self.nodes.values():
            with self.acting(node):
                now = self.now_of(node)
                sent = [(row, self._emit(node, row)) for row, _ in relay.take_due(now)]
                relay.note_sent(sent, now)

    def deliver(self) -> int:
        """Deliver what is on the network, with its faults; returns how many frames arrived."""
        frames, self._flying = self._flying, []
        if self.faults.reorder:
            self.random.shuffle(frames)
        arrived = 0
        for to_node_id, frame in frames:
            if self.random.random() < self.faults.drop:
                continue
            times = 2 if self.random.random() < self.faults.duplicate else 1
            for _ in range(times):
                arrived += self._arrive(to_node_id, frame)
        return arrived

    def settle(self, rounds: int = 12) -> None:
        """Let everything that is said arrive, without faults, over `rounds` minutes."""
        faults, self.faults = self.faults, Faults()
        for _ in range(rounds):
            self.now += timedelta(seconds=61)
            for _ in range(6):
                self.collect()
                self.deliver()
        self.faults = faults

    def step(self, seconds: float = 3.0) -> None:
        """Pass a little time and move what is due."""
        self.now += timedelta(seconds=seconds)
        self.collect()
        self.deliver()

    def close(self) -> None:
        """Close all databases."""
        for node in self.nodes.values():
            node.connection.close()

    def _connect(self, home: Path) -> DatabaseWrapper:
        """Return a connection to a fresh database of a node."""
        database = home / "node.sqlite3"
        shutil.copy(self.template, database)
        own = {**connections["default"].settings_dict, "NAME": str(database)}
        return DatabaseWrapper(own, alias="default")

    def _emit(self, node: SimNode, row: Any) -> bool:
        if row.kind in (OutboxKind.RECORD, OutboxKind.FLOODED):
            others = [other for other in self.nodes.values() if self._hears(node, other, row)]
            self._flying.extend((other.node_id, bytes(row.frame)) for other in others)
        elif row.kind != OutboxKind.EVENT:
            to = next((o.name for o in self.nodes.values() if o.node_id == row.to_node_id), "")
            if frozenset((node.name, to)) in self.cut:
                return False
            self._flying.append((row.to_node_id, bytes(row.frame)))
        return True

    def _hears(self, node: SimNode, other: SimNode, row: Any) -> bool:
        if other is node or frozenset((node.name, other.name)) in self.cut:
            return False
        scope = registry.decode(bytes(row.frame)).scope  # type: ignore[attr-defined]
        return scope == "network" or node.local.swarm == other.local.swarm

    def sync(self, to: SimNode, of: SimNode, topic: str) -> None:
        """Let a node pull all live records of a topic that another one holds, as a sync would."""
        with self.acting(of):
            frames = list(
                StoredRecord.objects.filter(topic=topic)
                .order_by("id")
                .values_list("frame", flat=True)
            )
        received = [open_sealed(bytes(frame), NETWORK, registry) for frame in frames]
        with self.acting(to):
            TopicStore(topic_named(topic), self.now_of(to)).apply((), received)  # type: ignore[arg-type]

    def _arrive(self, to_node_id: str, frame: bytes) -> int:
        for node in self.nodes.values():
            if node.node_id == to_node_id:
                with self.acting(node):
                    received = open_sealed(frame, NETWORK, registry)
                    inbox.apply_batch([received], self.now_of(node))
                return 1
        return 0
