"""Taking and leaving office: what an election changes in the database of this node."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from swarm.election.releasing import release_tasks
from swarm.replication import terms


@transaction.atomic
def step_down(now: datetime) -> None:
    """Leave office and leave all tasks to whoever is emperor now, in one transaction."""
    terms.leave_office(now)
    release_tasks(now)
