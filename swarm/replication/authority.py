"""Whose word counts: which victories, records and assignments of a term are believed."""

from __future__ import annotations

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from p2p.registration import Authority
from swarm.models import KnownTerm
from swarm.replication.messages import ElectionVictory, Term
from swarm.replication.terms import highest_term, is_too_far_ahead, term_of


def authority_of_victory(victory: ElectionVictory) -> Authority:
    """A node proclaims itself only, in our swarm, and no term far ahead of all that are known.

    The topic is the swarm's own; a member that is dishonest can hand on what another swarm signed.
    """
    if victory.swarm != local_node().swarm or victory.term.node_id != victory.origin:
        return Authority.NEVER
    return Authority.NEVER if is_too_far_ahead(victory.term.counter) else Authority.APPLY


def authority_of_term(term: Term, origin: str) -> Authority:
    """Tell whether a record of a term counts: not before its emperor's victory is known."""
    if term.node_id != origin:
        return Authority.NEVER
    known = KnownTerm.objects.filter(node_id=term.node_id, counter__gte=term.counter)
    return Authority.APPLY if known.exists() else Authority.NOT_YET


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
