"""The deadlines of one connection: handshake, PING and PONG, idleness, draining."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from p2p.mesh.settings import MeshLimits
from p2p.protocol.codec import encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import DRAIN_MAX_S
from p2p.protocol.messages import Ping, Pong


class Watched(Protocol):
    """What the deadlines do to a connection."""

    def write(self, payload: bytes) -> bool:
        """Send a payload."""

    def close(self, reason: str, detail: str = "") -> None:
        """End it in order."""

    def fail(self, error: ProtocolError) -> None:
        """End it as the peer's fault."""


class VitalSigns:
    """Timers on the running loop; `stop` ends them all."""

    def __init__(
        self,
        watched: Watched,
        limits: MeshLimits,
        now: Callable[[], float],
        now_ms: Callable[[], int],
        node_id: str,
    ) -> None:
        """Take the connection, its limits, a monotonic clock (seconds), the wall clock, our id."""
        self.latency_ms: float | None = None
        self._watched = watched
        self._limits = limits
        self._now = now
        self._now_ms = now_ms
        self._node_id = node_id
        self._heard_at = now()
        self._drains_until = 0.0
        self._ping: Ping | None = None
        self._ping_at = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def expect_handshake(self) -> None:
        """Start the deadline of the handshake."""
        self._set("handshake", self._limits.handshake_timeout_s, self._handshake_over)

    def expect_life(self) -> None:
        """End the handshake's deadline; start to ping and to watch for idleness."""
        self._cancel("handshake")
        self._send_ping()
        self._set("idle", self._limits.idle_timeout_s, self._check_idle)

    def heard(self) -> None:
        """Note that bytes came."""
        self._heard_at = self._now()

    def answered(self, pong: Pong) -> None:
        """Measure the round trip, if the answer is to the last PING."""
        if self._ping is not None and pong.timestamp == self._ping.timestamp:
            self.latency_ms = round((self._now() - self._ping_at) * 1000, 3)
            self._ping = None

    def drain(self) -> None:
        """Close when it has been silent for a while: the last frames on the way have come."""
        self._drains_until = self._now() + DRAIN_MAX_S
        self._set("drain", self._limits.drain_s, self._check_drained)

    def keep(self) -> None:
        """Take back `drain`."""
        self._cancel("drain")

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do one thing later; survives until it is done, `stop` or the next `after`."""
        self._set("after", delay_s, action)

    def stop(self) -> None:
        """Cancel every timer."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _send_ping(self) -> None:
        self._ping = Ping(node_id=self._node_id, timestamp=self._now_ms())
        self._ping_at = self._now()
        self._set("ping", self._limits.ping_interval_s, self._send_ping)
        self._watched.write(encode_message(self._ping))

    def _check_drained(self) -> None:
        now = self._now()
        left_s = self._heard_at + self._limits.drain_s - now
        if left_s > 0 and now < self._drains_until:
            self._set("drain", left_s, self._check_drained)
            return
        self._watched.close("duplicate_link")

    def _check_idle(self) -> None:
        left_s = self._heard_at + self._limits.idle_timeout_s - self._now()
        if left_s > 0:
            self._set("idle", left_s, self._check_idle)
            return
        self._watched.fail(
            ProtocolError("idle", f"nothing heard for {self._limits.idle_timeout_s:g} s")
        )

    def _handshake_over(self) -> None:
        limit_s = self._limits.handshake_timeout_s
        self._watched.fail(ProtocolError("handshake_timeout", f"no handshake within {limit_s:g} s"))

    def _set(self, name: str, delay_s: float, action: Callable[[], None]) -> None:
        self._cancel(name)
        self._timers[name] = asyncio.get_running_loop().call_later(delay_s, action)

    def _cancel(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()
