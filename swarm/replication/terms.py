"""Terms: who is emperor, since which count, and whose word counts for tasks.

Until members elect, the emperor is the node with the role `emperor`. Everything else asks here,
so that an election changes nothing but how a victory comes about.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from django.conf import settings
from django.db import transaction

from p2p import outbox
from p2p.local import dial_addresses, local_node
from p2p.protocol.errors import DomainError
from p2p.protocol.fields import Address
from p2p.registration import Authority
from swarm.errors import NotEmperor
from swarm.models import KnownTerm
from swarm.replication.messages import TERM_JUMP_MAX, ElectionVictory, Term

FIRST_TERM = 1


def has_members() -> bool:
    """Tell whether this node can have members at all: they prove themselves by the secret."""
    return bool(settings.ENVIRONMENT.auth_secret.get_secret_value())


def is_emperor() -> bool:
    """Tell whether this node moves the tasks of its swarm."""
    return bool(settings.ENVIRONMENT.role == "emperor")


def highest_term() -> KnownTerm | None:
    """Return the term that counts among all known ones, None when none is known."""
    rows = KnownTerm.objects.all()
    if not is_emperor():
        rows = rows.exclude(node_id=local_node().node_id)  # it was emperor once
    return max(rows, key=lambda row: term_of(row).rank, default=None)


def term_of(row: KnownTerm) -> Term:
    """Return the term of a row."""
    return Term(counter=row.counter, node_id=row.node_id)


def own_term(now: datetime) -> Term:
    """Return this emperor's term, taking office when it has none yet."""
    row = KnownTerm.objects.filter(node_id=local_node().node_id).first()
    return term_of(row) if row is not None else take_office(now)


@transaction.atomic
def take_office(now: datetime) -> Term:
    """Begin or go on with this node's term, and let members know of it.

    The counter is 1 where no term is known, and one more than the highest where that is
    another's: what this node writes then comes after what the other one wrote.
    """
    own_id, highest = local_node().node_id, highest_term()
    own = KnownTerm.objects.filter(node_id=own_id).first()
    if highest is None:
        counter = FIRST_TERM
    elif highest.node_id == own_id:
        counter = highest.counter
    else:
        counter = highest.counter + 1
    addresses = [{"host": host, "port": port} for host, port in dial_addresses()]
    facts = {
        "counter": counter,
        "addresses": addresses,
        "http_port": settings.ENVIRONMENT.http_port,
    }
    term = Term(counter=counter, node_id=own_id)
    if own is None or any(getattr(own, name) != value for name, value in facts.items()):
        KnownTerm.objects.update_or_create(node_id=own_id, defaults={**facts, "known_at": now})
        if has_members():
            _announce(term, now)
    return term


def announce_again(now: datetime) -> None:
    """Tell of this node's term where no record says so yet: a secret was given later."""
    row = KnownTerm.objects.filter(node_id=local_node().node_id).first()
    if row is not None and has_members():
        _announce(term_of(row), now)


def _announce(term: Term, now: datetime) -> None:
    outbox.publish_record(
        ElectionVictory,
        now=now,
        swarm=local_node().swarm,
        term=term,
        addresses=[Address(host=host, port=port) for host, port in dial_addresses()],
        http_port=settings.ENVIRONMENT.http_port,
    )


def authority_of_victory(victory: ElectionVictory) -> Authority:
    """A node proclaims itself only, in our swarm, and no term far ahead of all that are known.

    The topic is the swarm's own; a member that is dishonest can hand on what another swarm signed.
    """
    if victory.swarm != local_node().swarm or victory.term.node_id != victory.origin:
        return Authority.NEVER
    highest = highest_term()
    if highest is not None and victory.term.counter > highest.counter + TERM_JUMP_MAX:
        return Authority.NEVER
    return Authority.APPLY


def authority_of_term(term: Term, origin: str) -> Authority:
    """Tell whether a record of a term counts: not before its emperor's victory is known."""
    if term.node_id != origin:
        return Authority.NEVER
    known = KnownTerm.objects.filter(node_id=term.node_id, counter__gte=term.counter)
    return Authority.APPLY if known.exists() else Authority.NOT_YET


def take_victory(victory: ElectionVictory, now: datetime) -> None:
    """Remember a victory; an older one of the same node changes nothing."""
    if victory.origin == local_node().node_id:
        _go_on_above(victory.term.counter, now)
        return
    facts = {
        "counter": victory.term.counter,
        "addresses": msgspec.to_builtins(victory.addresses),
        "http_port": victory.http_port,
        "known_at": now,
    }
    row, created = KnownTerm.objects.get_or_create(node_id=victory.term.node_id, defaults=facts)
    if not created and row.counter <= victory.term.counter:
        KnownTerm.objects.filter(
            node_id=victory.term.node_id, counter__lte=victory.term.counter
        ).update(**facts)


def _go_on_above(counter: int, now: datetime) -> None:
    # A term that this node has forgotten, with its database: what it writes must come after.
    raised = KnownTerm.objects.filter(node_id=local_node().node_id, counter__lte=counter)
    if is_emperor() and raised.update(counter=counter + 1, known_at=now):
        _announce(Term(counter=counter + 1, node_id=local_node().node_id), now)


def check_assigner(origin: str, term: Term) -> None:
    """Raise DomainError unless `origin` may give work to this member now, under `term`.

    `stale_term` when a higher one is known, `unknown_term` before its victory has come.
    """
    verdict = authority_of_term(term, origin)
    if verdict is Authority.NEVER:
        raise DomainError("not_allowed", f"{origin[:8]} speaks for the term of {term.node_id[:8]}")
    highest = highest_term()
    if highest is not None and term_of(highest).rank > term.rank:
        raise DomainError(
            "stale_term",
            f"term {term.counter} of {origin[:8]} is over: "
            f"term {highest.counter} of {highest.node_id[:8]} is known",
        )
    if verdict is Authority.NOT_YET:
        raise DomainError("unknown_term", f"term {term.counter} of {origin[:8]} is not known here")


def require_emperor() -> None:
    """Raise NotEmperor, with the emperor and its address, where this node may not move tasks."""
    if not is_emperor():
        raise not_emperor()


def not_emperor(node_id: str | None = None) -> NotEmperor:
    """Return the refusal that names the emperor (`node_id`: of one task) and its address."""
    row = KnownTerm.objects.filter(node_id=node_id).first() if node_id else highest_term()
    return NotEmperor(node_id or (row.node_id if row else ""), address_of(row))


def address_of(row: KnownTerm | None) -> str:
    """Return the base URL of an emperor's API, empty when it is not known."""
    if row is None or not row.addresses or not row.http_port:
        return ""
    host = row.addresses[0]["host"]
    return f"http://{f'[{host}]' if ':' in host else host}:{row.http_port}"
