"""What members say of their emperor: who is believed, and what the machine is told."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from p2p import records
from p2p.local import local_node
from p2p.protocol.codec import Received
from p2p.protocol.errors import DomainError
from p2p.protocol.limits import FLOODED_AGE_MAX_MS
from swarm.election import participation, state
from swarm.replication import terms
from swarm.replication.messages import (
    TASKS,
    ElectionStart,
    ElectionVictory,
    EmperorHeartbeat,
)


def on_emperor_heartbeat(received: Received[EmperorHeartbeat], now: datetime) -> None:
    """Follow an emperor, or answer one whose term is over; DomainError where it is not believed."""
    message = received.message
    _check(message, now)

    def note() -> None:
        if terms.note_term(message.term, message.addresses, message.http_port, now):
            # Tasks of this term may have come before it.
            transaction.on_commit(lambda: records.retry_parked(TASKS, now), robust=True)

    part = participation.step(
        lambda machine, now_s: machine.on_heartbeat(message.term, now_s, message.abdicated),
        now,
        note,
    )
    part.newest[message.origin] = message.lamport_ts
    if part.machine.emperor_node_id == message.origin:
        state.note_heard(now)


def on_election_start(received: Received[ElectionStart], now: datetime) -> None:
    """Hear that a member stands for emperor; DomainError where it is not believed."""
    message = received.message
    _check(message, now)
    part = participation.step(lambda machine, now_s: machine.on_candidacy(message.term, now_s), now)
    part.newest[message.origin] = message.lamport_ts


def take_victory(victory: ElectionVictory, now: datetime) -> None:
    """Take a victory whose record was believed."""
    participation.step(
        lambda machine, now_s: machine.on_victory(victory.term, now_s),
        now,
        lambda: terms.take_victory(victory, now),
    )


def _check(message: EmperorHeartbeat | ElectionStart, now: datetime) -> None:
    if message.swarm != local_node().swarm:
        raise DomainError("not_allowed", f"{message.origin[:8]} speaks of another swarm")
    if message.term.node_id != message.origin:
        speaker, named = message.origin[:8], message.term.node_id[:8]
        raise DomainError("not_allowed", f"{speaker} speaks for the term of {named}")
    age_ms = int(now.timestamp() * 1000) - message.lamport_ts
    if age_ms > FLOODED_AGE_MAX_MS:
        raise DomainError("too_old", f"it is {age_ms} ms old, {FLOODED_AGE_MAX_MS} at most")
    if message.lamport_ts <= participation.part_of_this_node().newest.get(message.origin, 0):
        raise DomainError("too_old", f"a later word of {message.origin[:8]} is known")
    if terms.is_too_far_ahead(message.term.counter):
        raise DomainError("term_jump", f"term {message.term.counter} is too far ahead of all")
