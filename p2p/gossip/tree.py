"""The peers of one scope: those that get frames at once and those that get ids."""

from __future__ import annotations

from collections.abc import Callable


class Tree:
    """This node's part of a spanning tree: its eager peers; the others are lazy."""

    def __init__(self, eager_max: int) -> None:
        """Take how many peers a new link may join as an eager one."""
        self._eager_max = eager_max
        # Dictionaries for their order: the same run gives the same frames.
        self._eager: dict[str, None] = {}
        self._lazy: dict[str, None] = {}

    @property
    def eager(self) -> list[str]:
        """The peers that get frames at once."""
        return list(self._eager)

    @property
    def lazy(self) -> list[str]:
        """The peers that get ids."""
        return list(self._lazy)

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._eager or node_id in self._lazy

    def is_eager(self, node_id: str) -> bool:
        """Tell whether a peer gets frames at once."""
        return node_id in self._eager

    def add(self, node_id: str) -> None:
        """Take a new peer, eager while few are."""
        if node_id not in self:
            wanted = self._eager if len(self._eager) < self._eager_max else self._lazy
            wanted[node_id] = None

    def remove(self, node_id: str) -> None:
        """Forget a peer."""
        self._eager.pop(node_id, None)
        self._lazy.pop(node_id, None)

    def make_eager(self, node_id: str) -> None:
        """Send a peer frames from now on; nothing for a stranger."""
        if node_id in self._lazy:
            del self._lazy[node_id]
            self._eager[node_id] = None

    def make_lazy(self, node_id: str) -> None:
        """Send a peer ids from now on; nothing for a stranger."""
        if node_id in self._eager:
            del self._eager[node_id]
            self._lazy[node_id] = None

    def keep_one_eager(self, distance: Callable[[str], float]) -> None:
        """Make the nearest lazy peer eager when no other one is."""
        if not self._eager and self._lazy:
            self.make_eager(min(self._lazy, key=distance))
