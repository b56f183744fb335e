"""A bounded memory of what has passed already."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Remembers what belongs to the newest `size_max` keys; the oldest are forgotten first."""

    def __init__(self, size_max: int) -> None:
        """Take how many keys are remembered."""
        self._size_max = size_max
        self._values: dict[K, V] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """Return what is remembered of a key, None when nothing is."""
        return self._values.get(key)

    def add(self, key: K, value: V) -> None:
        """Remember a key; one that is known already keeps its age and changes its value."""
        self._values[key] = value
        if len(self._values) > self._size_max:
            del self._values[next(iter(self._values))]
