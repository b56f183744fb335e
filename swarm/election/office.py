"""Taking and leaving office: what an election changes in the database of this node."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction

from p2p import outbox
from p2p.local import local_node
from swarm.election.adoption import adopt_tasks
from swarm.election.redirecting import redirect_runs
from swarm.election.releasing import release_tasks
from swarm.replication import terms
from swarm.replication.heartbeats import ask_census
from swarm.replication.messages import ElectionStart, EmperorHeartbeat, Term
from swarm.replication.tasks import publish_missing
from swarm.services.reconciliation import reconcile_tasks


@transaction.atomic
def take(term: Term, now: datetime) -> None:
    """Begin a term of this node and say so; what that takes is done by `settle`."""
    terms.take_office(now, term.counter)
    beat(term, now)


@transaction.atomic
def settle(now: datetime) -> None:
    """Make this node's tasks and runs those of an emperor in office; again changes nothing.

    Adopts what the emperors before left, takes the reports of its own runs, tells members of
    every task in this term and goes on with each.
    """
    adopt_tasks(now)
    redirect_runs(local_node().node_id, now)
    publish_missing(now)
    reconcile_tasks(now)
    ask_census(now)


@transaction.atomic
def follow(emperor_node_id: str, now: datetime) -> None:
    """Leave tasks that are still held to another emperor, and let this node's runs report there."""
    release_tasks(now)
    redirect_runs(emperor_node_id, now)


@transaction.atomic
def step_down(now: datetime) -> None:
    """Leave office and leave all tasks to whoever is emperor now; again changes nothing."""
    terms.leave_office(now)
    release_tasks(now)


def adopt_late(now: datetime) -> int:
    """Adopt tasks of lower terms that became known after this one began; returns how many."""
    return adopt_tasks(now) if terms.has_members() and terms.is_emperor() else 0


def beat(term: Term, now: datetime, *, abdicated: bool = False) -> None:
    """Tell members that this node is emperor, or with `abdicated` that it is no longer."""
    if terms.has_members():
        outbox.flood(
            EmperorHeartbeat,
            now=now,
            swarm=local_node().swarm,
            term=term,
            addresses=terms.own_addresses(),
            http_port=settings.ENVIRONMENT.http_port,
            abdicated=abdicated,
        )


def stand(term: Term, now: datetime) -> None:
    """Tell members that this node stands for emperor."""
    if terms.has_members():
        outbox.flood(ElectionStart, now=now, swarm=local_node().swarm, term=term)
