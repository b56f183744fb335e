"""Which exchanges depend on the emperor, so that they end when there is another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from voidlux_site.seneschal.following import Upstream


class Moving:
    """Calls back whoever speaks with an emperor that is no longer the one."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._bound: dict[Callable[[], None], tuple[str, int]] = {}

    @contextmanager
    def bound_to(self, upstream: Upstream, leave: Callable[[], None]) -> Iterator[None]:
        """Call `leave` if the emperor changes inside the block; each must be an own function."""
        self._bound[leave] = upstream.reign
        try:
            yield
        finally:
            self._bound.pop(leave, None)

    def moved_to(self, upstream: Upstream | None) -> None:
        """Tell all that are bound to another emperor; none at all is no other one yet."""
        if upstream is None:
            return
        for leave, reign in list(self._bound.items()):
            if reign != upstream.reign:
                self._bound.pop(leave, None)
                leave()
