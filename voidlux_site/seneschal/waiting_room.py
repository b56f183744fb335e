"""Where requests wait while there is no emperor: not too many, and not for long."""

from __future__ import annotations

import asyncio
from typing import Protocol

from voidlux_site.seneschal.following import Upstream


class Upstreams(Protocol):
    """What the proxy needs of who follows the emperor."""

    @property
    def upstream(self) -> Upstream | None:
        """Where requests go now."""

    async def changed(self) -> None:
        """Wait until `upstream` is another."""

    def refuses(self, upstream: Upstream) -> None:
        """Learn that nobody takes connections there."""


class NoEmperor(Exception):
    """A request found no emperor in time, or no room to wait for one."""


class WaitingRoom:
    """Holds requests until there is an emperor."""

    def __init__(self, upstreams: Upstreams, held_max: int) -> None:
        """Take who knows the emperor, and how many requests may wait at once."""
        self.held = 0
        self._upstreams = upstreams
        self._held_max = held_max

    async def upstream(self, until: float) -> Upstream:
        """Return where the emperor is, waiting for one until the loop's time is `until`.

        NoEmperor where none comes, or where too many wait already.
        """
        upstream = self._upstreams.upstream
        if upstream is not None:
            return upstream
        if self.held >= self._held_max:
            raise NoEmperor(f"{self.held} requests wait for an emperor already")
        self.held += 1
        try:
            async with asyncio.timeout_at(until):
                while (upstream := self._upstreams.upstream) is None:
                    await self._upstreams.changed()
            return upstream
        except TimeoutError:
            raise NoEmperor("the swarm has no emperor at the moment") from None
        finally:
            self.held -= 1
