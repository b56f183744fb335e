"""The marketplace's slow work: trying a buyer's repository before accepting."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from marketplace.models import Tribute
from marketplace.services import sales
from marketplace.services.transitions import get_tribute
from marketplace.states import TributeStatus
from p2p.clock import now_utc
from p2p.local import local_node
from swarm.errors import WrongState
from swarm.git.repository import Repository
from swarm.models import Job
from swarm.services import jobs


def _admit(job: Job) -> None:
    """Accept a request when a dry run shows that this node can push there."""
    tribute = get_tribute(UUID(job.key))
    if tribute.status != TributeStatus.PENDING:
        return
    refusal = Repository(tribute.repository, local_node().home).can_push(tribute.ref)
    if refusal is None:
        sales.accept(tribute.id, now=now_utc())
        return
    sales.reject(tribute.id, code="remote_not_writable", reason=str(refusal), now=now_utc())


def _not_admitted(job: Job, now: datetime) -> None:
    if Tribute.objects.filter(id=UUID(job.key), status=TributeStatus.PENDING).exists():
        try:
            sales.reject(UUID(job.key), code="internal", reason=job.error, now=now)
        except WrongState:
            return


def register() -> None:
    """Register the marketplace's kinds of jobs."""
    jobs.register_kind(sales.ADMIT, jobs.JobKind(_admit, _not_admitted))
