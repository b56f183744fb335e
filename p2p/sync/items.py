"""What two stores compare: the live records of a topic, ordered by the position of their keys."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from p2p.protocol.limits import POSITION_END, SPLIT_FANOUT
from p2p.sync.marks import Mark


class Item(NamedTuple):
    """One record as it is compared; `position` is where its key stands among all keys."""

    position: int
    key: str
    origin: str
    incarnation: int
    seq: int

    @property
    def mark(self) -> Mark:
        """The record's place in its origin's numbering."""
        return Mark(self.incarnation, self.seq)


def position_of(key: str) -> int:
    """Return the position of a key: the first 48 bits of its SHA-256, below POSITION_END."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big")


def hash_of(items: Sequence[Item]) -> str:
    """Return the SHA-256 of live records in order of position and key, 64 hex digits."""
    return hashlib.sha256(_bytes_of(items)).hexdigest()


def digest_of(items: Sequence[Item]) -> str:
    """Return the digest of one range: 32 hex digits, empty for an empty range."""
    return hash_of(items)[:32] if items else ""


def parts_of(lo: int, hi: int) -> list[tuple[int, int]]:
    """Cut the positions [lo, hi) into at most SPLIT_FANOUT parts of equal width."""
    width = -(-(hi - lo) // SPLIT_FANOUT)
    edges = [*range(lo, hi, width), hi]
    return list(pairwise(edges))


def grouped(items: Sequence[Item], parts: Sequence[tuple[int, int]]) -> list[list[Item]]:
    """Return the items of each part; both are ordered by position."""
    groups: list[list[Item]] = [[] for _ in parts]
    number = 0
    for item in items:
        while item.position >= parts[number][1]:
            number += 1
        groups[number].append(item)
    return groups


WHOLE = (0, POSITION_END)


def _bytes_of(items: Sequence[Item]) -> bytes:
    # The position follows from the key; hashing it too costs little and needs no copy.
    return msgspec.json.encode(items)
