"""What of a simulated node survives a crash: its key, its incarnation and its database."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

from p2p.protocol.codec import Received
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Record
from p2p.sync.marks import Mark, Progress
from p2p.sync.own_numbers import incarnation_after
from tests.simulation.topics import NOTES, TASKS


@dataclass(frozen=True, slots=True)
class Kept:
    """A stored record; `ends_ms` is when it stops to count."""

    record: Record
    raw: bytes
    ends_ms: int | None
    position: int


@dataclass
class Table:
    """One topic in the database."""

    kept: dict[str, Kept] = field(default_factory=dict)
    progress: dict[str, Progress] = field(default_factory=dict)
    parked: dict[tuple[str, Mark], tuple[Received[Record], int]] = field(default_factory=dict)
    own: Mark | None = None  # the last number given, with its incarnation
    synced_ms: int | None = None
    version: int = 0  # counts the changes of `kept`, for what is computed from it


@dataclass
class Database:
    """All tables; `number` tells one database of a node from another."""

    number: int
    tables: dict[str, Table] = field(default_factory=lambda: {NOTES: Table(), TASKS: Table()})
    clock: int = 0
    outbox: list[bytes] = field(default_factory=list)
    believed_ms: int | None = None
    life_began: int = 0  # our clock at the last start

    def copy(self) -> Database:
        """Return what a backup holds."""
        other = copy.copy(self)
        other.outbox = list(self.outbox)
        other.tables = {
            name: replace(
                table,
                kept=dict(table.kept),
                progress=dict(table.progress),
                parked=dict(table.parked),
            )
            for name, table in self.tables.items()
        }
        return other


@dataclass
class Home:
    """A node's directory."""

    identity: Identity
    database: Database = field(default_factory=lambda: Database(1))
    stored_incarnation: int = 0
    counted_for: int = 0

    @property
    def id(self) -> str:
        """The node id."""
        return self.identity.node_id

    def incarnation(self) -> int:
        """Return the incarnation, raised when the database is another (p2p.local)."""
        if self.counted_for != self.database.number:
            self.stored_incarnation += 1
            self.counted_for = self.database.number
        return self.stored_incarnation

    def raise_incarnation_above(self, seen: int, now_ms: int) -> None:
        """Make the incarnation higher than one that a peer showed (p2p.local)."""
        if self.incarnation() <= seen:
            self.stored_incarnation = incarnation_after(seen, now_ms // 1000)

    def backup(self) -> Home:
        """Return a copy of everything."""
        return Home(self.identity, self.database.copy(), self.stored_incarnation, self.counted_for)

    def restore(self, backup: Home) -> None:
        """Go back to a backup, which can be used again."""
        self.database = backup.database.copy()
        self.stored_incarnation = backup.stored_incarnation
        self.counted_for = backup.counted_for

    def lose_database(self) -> None:
        """Begin with an empty database; the key and the incarnation beside it are left."""
        self.database = Database(self.database.number + 1)
