"""Terms: who is emperor, since which count, and how a node takes and leaves office.

Everything else asks here; how it comes that somebody takes office is `swarm.election`'s matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from django.conf import settings
from django.db import transaction

from p2p import outbox
from p2p.local import dial_addresses, local_node
from p2p.nodes import last_addresses
from p2p.protocol.fields import Address
from swarm.errors import NotEmperor
from swarm.models import KnownTerm
from swarm.replication.messages import TERM_JUMP_MAX, ElectionVictory, Term

FIRST_TERM = 1


def has_members() -> bool:
    """Tell whether this node can have members at all: they prove themselves by the secret."""
    return bool(settings.ENVIRONMENT.auth_secret.get_secret_value())


def is_emperor() -> bool:
    """Tell whether this node moves the tasks of its swarm.

    Where nobody was ever emperor, as far as is known, a node of the role `emperor` may begin.
    """
    known = dict(KnownTerm.objects.values_list("node_id", "in_office"))
    if not known:
        environment = settings.ENVIRONMENT
        return bool(environment.role == "emperor" and environment.candidate == "on")
    return known.get(local_node().node_id, False)


def own_row() -> KnownTerm | None:
    """Return what is known of this node's own terms, None when it never had one."""
    return KnownTerm.objects.filter(node_id=local_node().node_id).first()


def highest_term() -> KnownTerm | None:
    """Return the term that counts among all known ones, None when none is known.

    An own term that is over does not count.
    """
    rows = KnownTerm.objects.all()
    return _highest([row for row in rows if row.in_office or row.node_id != local_node().node_id])


def highest_ever() -> KnownTerm | None:
    """Return the highest of all known terms, an own one that is over included."""
    return _highest(list(KnownTerm.objects.all()))


def term_of(row: KnownTerm) -> Term:
    """Return the term of a row."""
    return Term(counter=row.counter, node_id=row.node_id)


def own_term(now: datetime) -> Term:
    """Return this emperor's term, taking office when nobody ever did; NotEmperor elsewhere."""
    row = own_row()
    if row is not None and row.in_office:
        return term_of(row)
    require_emperor()
    return take_office(now)


@transaction.atomic
def take_office(now: datetime, counter: int | None = None) -> Term:
    """Begin or go on with this node's term, and let members know of it.

    Without `counter` it is 1 where no term is known, and one more than the highest where that is
    another's or over: what this node writes then comes after what the other one wrote.
    """
    own, highest = own_row(), highest_ever()
    if counter is None and highest is None:
        counter = FIRST_TERM
    elif counter is None and highest is not None:
        goes_on = own is not None and own.in_office and own.node_id == highest.node_id
        counter = highest.counter if goes_on else highest.counter + 1
    facts = {
        "counter": counter,
        "addresses": msgspec.to_builtins(own_addresses()),
        "http_port": settings.ENVIRONMENT.http_port,
        "in_office": True,
    }
    term = Term(counter=facts["counter"], node_id=local_node().node_id)
    if own is None or any(getattr(own, name) != value for name, value in facts.items()):
        begun = own is None or own.counter != term.counter
        since = {"known_at": now} if begun else {}
        KnownTerm.objects.update_or_create(node_id=term.node_id, defaults={**facts, **since})
        if has_members():
            _announce(term, now)
    return term


def leave_office(now: datetime) -> bool:
    """End this node's term, whatever comes after it; False when it was in none.

    Its tasks are not looked at: `swarm.election.office.step_down` does both.
    """
    mine = KnownTerm.objects.filter(node_id=local_node().node_id, in_office=True)
    return bool(mine.update(in_office=False))


@transaction.atomic
def note_term(term: Term, addresses: Sequence[Address], http_port: int, now: datetime) -> bool:
    """Remember another node's term and where it is reached; tell whether it was not known.

    Leaves office, with all that this takes, when the term outranks our own.
    """
    outranked = _acts_below(term)
    facts = {
        "counter": term.counter,
        "addresses": msgspec.to_builtins(list(addresses)),
        "http_port": http_port,
    }
    row = KnownTerm.objects.filter(node_id=term.node_id).first()
    if row is None:
        KnownTerm.objects.create(node_id=term.node_id, known_at=now, **facts)
    elif row.counter > term.counter:
        return False
    elif any(getattr(row, name) != value for name, value in facts.items()):
        since = now if row.counter < term.counter else row.known_at
        KnownTerm.objects.filter(node_id=term.node_id).update(**facts, known_at=since)
    if outranked:
        from swarm.election import office  # it stands above this module

        office.step_down(now)
    return row is None or row.counter < term.counter


def _acts_below(term: Term) -> bool:
    """Tell whether this node moves tasks under a lower term than `term`, or under none yet."""
    own = own_row()
    if own is None:
        return is_emperor()
    return own.in_office and term.rank > term_of(own).rank


def is_too_far_ahead(counter: int) -> bool:
    """Tell whether a term's counter is too far above all known ones to be believed."""
    highest = highest_ever()
    return highest is not None and counter > highest.counter + TERM_JUMP_MAX


def take_victory(victory: ElectionVictory, now: datetime) -> None:
    """Remember a victory; an older one of the same node changes nothing."""
    if victory.origin == local_node().node_id:
        _go_on_above(victory.term.counter, now)
    else:
        note_term(victory.term, victory.addresses, victory.http_port, now)


def announce_again(now: datetime) -> None:
    """Tell of this node's term where no record says so yet: a secret was given later."""
    row = own_row()
    if row is not None and row.in_office and has_members():
        _announce(term_of(row), now)


def own_addresses() -> list[Address]:
    """Return where other members reach this node."""
    return [Address(host=host, port=port) for host, port in dial_addresses()]


def require_emperor() -> None:
    """Raise NotEmperor, with the emperor and its address, where this node may not move tasks."""
    if not is_emperor():
        raise not_emperor()


def not_emperor(node_id: str | None = None) -> NotEmperor:
    """Return the refusal that names the emperor (`node_id`: of one task) and its address."""
    row = KnownTerm.objects.filter(node_id=node_id).first() if node_id else highest_term()
    return NotEmperor(node_id or (row.node_id if row else ""), address_of(row))


def address_of(row: KnownTerm | None) -> str:
    """Return the base URL of an emperor's API, empty when it is not known.

    Who listens on every interface names no address: then it is where that member is linked.
    """
    if row is None or not row.http_port:
        return ""
    addresses = row.addresses or last_addresses(row.node_id)
    if not addresses:
        return ""
    host = addresses[0]["host"]
    return f"http://{f'[{host}]' if ':' in host else host}:{row.http_port}"


def _highest(rows: Sequence[KnownTerm]) -> KnownTerm | None:
    return max(rows, key=lambda row: term_of(row).rank, default=None)


def _announce(term: Term, now: datetime) -> None:
    outbox.publish_record(
        ElectionVictory,
        now=now,
        swarm=local_node().swarm,
        term=term,
        addresses=own_addresses(),
        http_port=settings.ENVIRONMENT.http_port,
    )


def _go_on_above(counter: int, now: datetime) -> None:
    # A term that this node has forgotten, with its database: what it writes must come after.
    own = own_row()
    if own is None:
        KnownTerm.objects.create(node_id=local_node().node_id, counter=counter, known_at=now)
    elif own.in_office and own.counter <= counter:
        take_office(now, counter + 1)
    elif own.counter < counter:
        KnownTerm.objects.filter(node_id=own.node_id).update(counter=counter)
