"""The one narrow seam between pull sync and the records of a topic, wherever they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from p2p.protocol.codec import Received
from p2p.protocol.messages import Record
from p2p.sync.items import Item
from p2p.sync.marks import Mark, Span


@dataclass(frozen=True, slots=True)
class Applied:
    """What a page did: how many records won their keys, and how many must wait."""

    learned: int = 0
    parked: int = 0


class RecordStore(Protocol):
    """The records of one topic at one moment; live is what neither expired nor was superseded."""

    @property
    def is_ranked(self) -> bool:
        """Whether the topic has an order of its own: numbers do not tell then who wins."""

    def live_items(self, lo: int, hi: int) -> list[Item]:
        """Return the live records of the positions [lo, hi), ordered by position and key."""

    def live_hash(self) -> str:
        """Return `items.hash_of` all live records."""

    def kept_items(self, lo: int, hi: int) -> list[Item]:
        """Return live records and those that expired lately, ordered by position and key."""

    def marks(self) -> dict[str, Mark]:
        """Return the contiguous watermark of every origin; our own is our last seq."""

    def live_origins(self) -> set[str]:
        """Return the origins of the live records."""

    def frames_in(self, origin: str, span: Span, count: int) -> Iterable[tuple[Mark, bytes]]:
        """Return the first `count` live frames of an origin in a span, oldest first."""

    def frames_of(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return the frames kept for these keys."""

    def apply(
        self, covers: Sequence[tuple[str, Span]], records: Sequence[Received[Record]]
    ) -> Applied:
        """Store a page whole: records that win, and what it covers, in one transaction."""
