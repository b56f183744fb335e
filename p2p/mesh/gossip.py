"""Drives the gossip on the event loop: carries out its effects and wakes it when it is due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from p2p.gossip.effects import Count, Deliver, Effect, Fetch, OwnRecordAhead, Send
from p2p.gossip.ids import RecordId
from p2p.gossip.plumtree import Plumtree
from p2p.protocol.codec import Received
from p2p.protocol.messages import Record

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where the effects of the gossip go."""

    send: Callable[[str, bytes], bool]
    deliver: Callable[[Received, str], bool]
    count: Callable[[str], None]
    name: Callable[[str, str, str], None]
    fetch: Callable[[str, Sequence[RecordId]], None]
    own_record_ahead: Callable[[Record], None]


class Gossip:
    """The gossip of one mesh, with one timer on the running loop."""

    def __init__(self, machine: Plumtree, outlets: Outlets, now: Callable[[], float]) -> None:
        """Take the state machine, where its effects go and a monotonic clock in seconds."""
        self._machine = machine
        self._outlets = outlets
        self._now = now
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._stopped = False

    def peer_up(self, node_id: str) -> None:
        """Take a new peer."""
        self._machine.peer_up(node_id)

    def peer_down(self, node_id: str) -> None:
        """Forget a peer."""
        self._machine.peer_down(node_id)

    def publish(self, received: Received[Record]) -> int:
        """Spread a record of our own; return to how many peers it went at once."""
        effects = self._machine.publish(received, self._now())
        self._carry_out(effects)
        return sum(isinstance(effect, Send) and effect.is_record for effect in effects)

    def receive(self, from_node_id: str, received: Received) -> None:
        """Take a frame of a peer; ProtocolError when the peer is to blame."""
        self._carry_out(self._machine.receive(from_node_id, received, self._now()))

    def stop(self) -> None:
        """Cancel the timer for good."""
        self._stopped = True
        self._cancel_timer()

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(node_id=node_id, payload=payload):
                    self._outlets.send(node_id, payload)
                case Deliver(received=received, from_node_id=from_node_id):
                    self._deliver(received, from_node_id)
                case Count(event=event, by=by, detail=detail):
                    self._outlets.count(event)
                    if by:
                        self._outlets.name(by, event, detail)
                case Fetch(node_id=node_id, ids=ids):
                    self._outlets.fetch(node_id, ids)
                case OwnRecordAhead(record=record):
                    self._outlets.own_record_ahead(record)
        self._arm()

    def _deliver(self, received: Received[Any], from_node_id: str) -> None:
        taken = self._outlets.deliver(received, from_node_id)
        self._outlets.count("delivered" if taken else "inbox_full")
        if isinstance(received.message, Record):
            decide = self._machine.accepted if taken else self._machine.refused
            self._carry_out(decide(received, from_node_id, self._now()))

    def _arm(self) -> None:
        due_at = self._machine.due_at
        if due_at is None or self._stopped:
            return
        if self._timer is not None and self._timer_at <= due_at:
            return
        self._cancel_timer()
        self._timer_at = due_at
        delay_s = max(0.0, due_at - self._now())
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            self._carry_out(self._machine.tick(self._now()))
        except Exception:
            log.exception("the gossip failed and goes on")
            self._arm()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
