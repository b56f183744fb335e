"""Nodes with databases in memory, whose frames, clocks and deaths are given by hand.

Nothing is written to a disk: an example of a stateful test costs what its services cost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from p2p import relay
from tests.support.cluster import Cluster, SimNode

SENT_MAX = 200  # frames that can still be repeated


class Crash(BaseException):
    """The process of a node ended: nothing that catches errors may go on."""


class MemoryDatabase(DatabaseWrapper):
    """A node's database in memory, which can end the node's process at one of its commits."""

    def __init__(self, content: bytes) -> None:
        own = {**connections["default"].settings_dict, "NAME": ":memory:"}
        super().__init__(own, alias="default")
        self.commits_left: int | None = None
        self.load(content)

    def load(self, content: bytes) -> None:
        """Replace everything by what `content` returned earlier."""
        self.connect()
        self.connection.deserialize(content)

    def content(self) -> bytes:
        """Return everything that is committed."""
        self.ensure_connection()
        return self.connection.serialize()

    def end(self) -> None:
        """Forget the database; `close` keeps one that is in memory."""
        if self.connection is not None:
            self.connection.close()

    def _commit(self) -> None:
        if self.commits_left == 0:
            # Taken back here: what follows in Django would commit it after all.
            self.connection.rollback()
            self.run_on_commit = []
            raise Crash
        if self.commits_left is not None:
            self.commits_left -= 1
        super()._commit()


@dataclass
class MarketNetwork(Cluster):
    """A cluster whose every frame waits for the test's word.

    A node's database is that of `contents` under its name, or else `content`.
    """

    content: bytes = b""
    contents: dict[str, bytes] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sent: list[tuple[str, bytes]] = []
        self.actor: SimNode | None = None

    @contextlib.contextmanager
    def acting(self, node: SimNode) -> Iterator[None]:
        """Let services run as `node`, and note that it may have changed."""
        before, self.actor = self.actor, node
        self.touched.add(node.name)
        try:
            with super().acting(node):
                yield
        finally:
            self.actor = before

    def now_here(self) -> datetime:
        """Return what the clock of the acting node shows."""
        assert self.actor is not None
        return self.now_of(self.actor)

    @property
    def flying(self) -> list[tuple[str, bytes]]:
        """The frames on the network: (receiver's node id, payload)."""
        return self._flying

    def collect(self) -> None:
        """Take what is due from every living node onto the network."""
        for node in self.living():
            self.emit(node)

    def emit(self, node: SimNode) -> None:
        """Take what is due from one node onto the network, as its relay does."""
        with self.acting(node):
            now = self.now_of(node)
            while True:
                rows = [row for row, _ in relay.take_due(now)]
                relay.note_sent([(row, self._emit(node, row)) for row in rows], now)
                if len(rows) < relay.ROWS_MAX:
                    return

    def deliver_all(self) -> int:
        """Deliver everything that is on the network, in order; returns how many arrived."""
        return sum(self.deliver_one(0) for _ in range(len(self._flying)))

    def deliver_one(self, index: int, *, keep: bool = False) -> int:
        """Deliver one frame; with `keep` it stays on the network and will arrive again."""
        frame = self._flying[index] if keep else self._flying.pop(index)
        self.sent = [*self.sent[1 - SENT_MAX :], frame]
        return self._arrive(*frame)

    def repeat(self, index: int) -> None:
        """Deliver once more what was delivered before, however long ago."""
        self._arrive(*self.sent[index % len(self.sent)])

    def drop(self, index: int) -> None:
        """Lose one frame."""
        self._flying.pop(index)

    def living(self) -> list[SimNode]:
        """Return the nodes whose process runs."""
        return [node for node in self.nodes.values() if node.name not in self.down]

    @contextlib.contextmanager
    def dying(self, node: SimNode, *, commits: int) -> Iterator[None]:
        """End the process of `node` in the block: before one more than `commits`, or at its end."""
        database = _database_of(node)
        database.commits_left = commits
        try:
            with contextlib.suppress(Crash):
                yield
        finally:
            database.commits_left = None
            self.down.add(node.name)
            # What was under way to it on its links is lost with them.
            self._flying = [each for each in self._flying if each[0] != node.node_id]

    def forget(self, name: str) -> None:
        """Take a node out of the network for good."""
        _database_of(self.nodes.pop(name)).end()
        self.touched.discard(name)

    def copy_of(self, node: SimNode) -> bytes:
        """Return a copy of a node's database."""
        return _database_of(node).content()

    def put_back(self, node: SimNode, content: bytes) -> None:
        """Restore a node's database from a copy."""
        _database_of(node).load(content)
        self.touched.add(node.name)

    def close(self) -> None:
        """Forget all databases."""
        for node in self.nodes.values():
            _database_of(node).end()

    def _connect(self, home: Path) -> DatabaseWrapper:
        return MemoryDatabase(self.contents.get(home.name, self.content))

    def _emit(self, node: SimNode, row: Any) -> bool:
        to = {each.node_id: each.name for each in self.nodes.values()}.get(row.to_node_id)
        return False if to in self.down else super()._emit(node, row)

    def _hears(self, node: SimNode, other: SimNode, row: Any) -> bool:
        return other.name not in self.down and super()._hears(node, other, row)

    def _arrive(self, to_node_id: str, frame: bytes) -> int:
        if any(each.node_id == to_node_id for each in self.living()):
            return super()._arrive(to_node_id, frame)
        return 0


def content_of(template: Path) -> bytes:
    """Return a migrated database file as `MarketNetwork` takes it."""
    content = bytearray(template.read_bytes())
    content[18:20] = b"\x01\x01"  # the header's word that no log lies beside it
    return bytes(content)


def _database_of(node: SimNode) -> MemoryDatabase:
    assert isinstance(node.connection, MemoryDatabase)
    return node.connection
