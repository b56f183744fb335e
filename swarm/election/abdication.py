"""Giving the office up because an operator wants it: another member stands at once."""

from __future__ import annotations

from datetime import datetime

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.election.state import ask_for_abdication
from swarm.replication import terms
from swarm.replication.pulses import living_members


def abdicate(now: datetime) -> None:
    """Let this node give the office up at its next look; again changes nothing.

    NotEmperor where it has none, DomainError `no_successor` where no other member was heard lately.
    """
    terms.require_emperor()
    others = living_members(now) - {local_node().node_id}
    if not (terms.has_members() and others):
        raise DomainError(
            "no_successor", "no other member was heard of lately: nobody could follow"
        )
    ask_for_abdication(now)
