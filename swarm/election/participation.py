"""This node's part in its swarm's election: the machine, kept in step with the database.

All of this runs on the database thread. A machine is taken over only when what it wanted is
stored; where the database says something else of the office than the machine last saw (another
module took or left it, or a transaction around a step was rolled back), it is made anew from it.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction

from p2p.local import local_node
from p2p.nodes import member_addresses
from swarm.election import office, seconds, state
from swarm.election.machine import Beat, Effect, Election, Proclaim, Stand, StepDown
from swarm.election.timing import Timing
from swarm.models import KnownTerm
from swarm.replication import terms
from swarm.replication.messages import Term

log = logging.getLogger(__name__)

RETRY_S = 1.0

Seen = tuple[int, bool] | None
Stands = tuple[str | None, Term | None, bool]  # emperor, term, whether this node acts
Act = Callable[[Election, float], Sequence[Effect]]


@dataclass
class Part:
    """A node's machine, what its own term was when they were last in step, and who spoke when."""

    machine: Election
    seen: Seen
    settled: Stands | None = None
    newest: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Due:
    """When the next tick is wanted, in seconds, and whether this node is emperor until then.

    `settled` is False where what a change of emperor brings is still to be done.
    """

    in_s: float
    acts: bool
    settled: bool = True


_parts: dict[Path, Part] = {}  # by home: a test runs several nodes in one process


def begin(now: datetime) -> Due:
    """Take part anew after a start: who was in office keeps the term, and asks before it acts."""
    row = terms.own_row()
    if row is not None and row.in_office:
        terms.take_office(now, row.counter)  # it may listen elsewhere now
        terms.announce_again(now)
    _parts[local_node().home] = Part(_machine(returns=_has_others(now)), _seen())
    return tick(now)


def tick(now: datetime, *, follow_up: bool = True) -> Due:
    """Do what is due by the clock or was asked for by the operator, and what that brings.

    Without `follow_up` a change of emperor is said and nothing is done for tasks and runs yet.
    """
    part, row, now_s = part_of_this_node(), state.read_state(), seconds.monotonic_s()
    if row is None or row.abdication_asked_at is not None:
        part = step(_tick_and_abdicate if row else Election.tick, now, state.close_abdication)
    elif part.machine.next_due_s(now_s) <= now_s:
        part = step(Election.tick, now)
    done = _follow_up(part, now) if follow_up else part.settled == _stands(part)
    now_s = seconds.monotonic_s()
    in_s = part.machine.next_due_s(now_s) - now_s
    return Due(in_s if done else min(in_s, RETRY_S), part.machine.acts, done)


def _tick_and_abdicate(machine: Election, now_s: float) -> list[Effect]:
    return [*machine.tick(now_s), *machine.abdicate(now_s)]


def step(act: Act, now: datetime, note: Callable[[], None] | None = None) -> Part:
    """Let the machine act, carry out what it wants, then call `note`: in one transaction."""
    part = part_of_this_node()
    machine = copy.copy(part.machine)
    with transaction.atomic():
        for effect in act(machine, seconds.monotonic_s()):
            _carry_out(effect, now)
        if note is not None:
            note()
        _keep_office(machine, now)
        state.note(machine, now)
        seen = _seen()
    part.machine, part.seen = machine, seen
    return part


def part_of_this_node() -> Part:
    """Return this node's part, made from the database where that has changed."""
    home, seen = local_node().home, _seen()
    part = _parts.get(home)
    if part is None or part.seen != seen:
        newest = part.newest if part else {}
        part = _parts[home] = Part(_machine(), seen, newest=newest)
    return part


def _has_others(now: datetime) -> bool:
    node = local_node()
    return terms.has_members() and bool(member_addresses(node.swarm, now).keys() - {node.node_id})


def _machine(*, returns: bool = False) -> Election:
    environment, own_id = settings.ENVIRONMENT, local_node().node_id
    own, highest = terms.own_row(), terms.highest_ever()
    others = terms.has_members() and KnownTerm.objects.exclude(node_id=own_id).exists()
    return Election(
        own_id,
        Timing(
            heartbeat_s=environment.emperor_heartbeat_s,
            stale_s=environment.emperor_stale_s,
            candidacy_s=environment.candidacy_s,
        ),
        highest=terms.term_of(highest) if highest else None,
        in_office=own is not None and own.in_office,
        returns=returns,
        eager=environment.role == "emperor" and not others,
        may_stand=environment.candidate == "on",
        now_s=seconds.monotonic_s(),
    )


def _seen() -> Seen:
    row = terms.own_row()
    return None if row is None else (row.counter, row.in_office)


def _carry_out(effect: Effect, now: datetime) -> None:
    if isinstance(effect, Proclaim):
        office.take(effect.term, now)
        log.info("emperor in term %d", effect.term.counter)
    elif isinstance(effect, Beat):
        office.beat(effect.term, now, abdicated=effect.abdicated)
    elif isinstance(effect, Stand):
        office.stand(effect.term, now)
        log.info("no emperor is heard: standing for term %d", effect.term.counter)
    elif isinstance(effect, StepDown):
        office.step_down(now)
        log.info("no longer emperor: %s, term %d", effect.term.node_id[:8], effect.term.counter)


def _keep_office(machine: Election, now: datetime) -> None:
    """An emperor that was away for too long does not act until it knows that it still is one."""
    row = terms.own_row()
    in_office = row is not None and row.in_office
    if machine.acts and not in_office and machine.term is not None:
        terms.take_office(now, machine.term.counter)
    elif in_office and not machine.acts:
        terms.leave_office(now)


def _follow_up(part: Part, now: datetime) -> bool:
    """Do for tasks and runs what a change of emperor brings; False where it must be tried again."""
    own_id, emperor = local_node().node_id, part.machine.emperor_node_id
    stands = _stands(part)
    if part.settled == stands:
        return True
    try:
        with transaction.atomic():
            if part.machine.acts:
                office.settle(now)
                state.note_redirected(own_id)
            elif emperor is not None and emperor != own_id and _reports_elsewhere(emperor):
                office.follow(emperor, now)
                state.note_redirected(emperor)
    except Exception:
        log.exception("not everything that the change of emperor brings was done")
        return False
    part.settled = stands
    return True


def _stands(part: Part) -> Stands:
    return part.machine.emperor_node_id, part.machine.term, part.machine.acts


def _reports_elsewhere(emperor_node_id: str) -> bool:
    row = state.read_state()
    return row is None or row.redirected_to != emperor_node_id
