"""Where the examples of a market's stateful test start: made once, then copied in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from marketplace.states import RequeuePolicy
from tests.support.market_world import MarketWorld


@dataclass(frozen=True)
class Market:
    """Copies of the databases of all nodes, and when they were made."""

    at: datetime
    copies: dict[str, bytes]


class Start:
    """Where every example starts: made once, then copied from memory to memory."""

    def __init__(self, folder: Path, empty: bytes) -> None:
        self.folder = folder
        self.empty = empty  # a migrated database
        self.contents: dict[str, bytes] = {}
        made = MarketWorld(self)
        try:
            made.open()
            nodes = made.network.nodes
            self.contents = {name: made.network.copy_of(node) for name, node in nodes.items()}
        finally:
            made.close()
        self._hired: dict[tuple[object, ...], Market] = {}

    def hired(self, absent: tuple[str, ...], requeue: RequeuePolicy, count: int) -> Market:
        """Return a market without `absent` where up to `count` tasks are at work for the buyer."""
        key = (absent, requeue, count)
        if key not in self._hired:
            made = MarketWorld(self)
            made.random.seed(repr(key))  # other ids than those of an example
            try:
                made.hire(absent, requeue, count)
                nodes = made.network.nodes
                copies = {name: made.network.copy_of(node) for name, node in nodes.items()}
                self._hired[key] = Market(made.network.now, copies)
            finally:
                made.close()
        return self._hired[key]
