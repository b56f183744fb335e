"""A bounded memory of what has passed already."""

from __future__ import annotations

from collections.abc import Hashable


class SeenSet:
    """Remembers the newest `size_max` keys; the oldest are forgotten first."""

    def __init__(self, size_max: int) -> None:
        """Take how many keys are remembered."""
        self._size_max = size_max
        self._keys: dict[Hashable, None] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: Hashable) -> None:
        """Remember a key."""
        self._keys[key] = None
        if len(self._keys) > self._size_max:
            del self._keys[next(iter(self._keys))]

    def discard(self, key: Hashable) -> None:
        """Forget a key, so that it may come again."""
        self._keys.pop(key, None)
