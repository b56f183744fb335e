"""Decisions out of the bytes of a fuzzer, so that the same bytes tell the same story."""

from __future__ import annotations

from itertools import pairwise


class Reader:
    """Takes bytes from the front; when they are used up everything is zero or empty."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        return self._at >= len(self._data)

    def number(self, size_bytes: int = 1) -> int:
        """Return the next big-endian number."""
        return int.from_bytes(self.take(size_bytes), "big")

    def take(self, size_bytes: int) -> bytes:
        """Return the next bytes, fewer at the end."""
        taken = self._data[self._at : self._at + size_bytes]
        self._at += size_bytes
        return taken

    def rest(self) -> bytes:
        """Return what is left."""
        return self.take(max(0, len(self._data) - self._at))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at places, which may be any numbers."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]
