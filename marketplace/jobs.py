"""The marketplace's slow work: trying a buyer's remote, and looking what the remote shows."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from marketplace.models import Execution, Tribute
from marketplace.services import results, sales
from marketplace.services.transitions import get_tribute
from marketplace.services.trials import note_trial
from marketplace.states import ExecutionStatus, RejectCode, TributeStatus
from p2p.clock import now_utc
from p2p.local import local_node
from swarm.errors import WrongState
from swarm.gate.verifying import objection_to
from swarm.git.repository import Repository
from swarm.models import Job, Task
from swarm.services import jobs


def _admit(job: Job) -> None:
    """Accept a request when a dry run shows that this node can push there."""
    tribute = get_tribute(UUID(job.key))
    if tribute.status != TributeStatus.PENDING:
        return
    refusal = Repository(tribute.repository, local_node().home).can_push(tribute.ref)
    note_trial(tribute, writable=refusal is None, now=now_utc())
    if refusal is None:
        sales.accept(tribute.id, now=now_utc())
        return
    code = RejectCode.REMOTE_NOT_WRITABLE
    sales.reject(tribute.id, code=code, reason=str(refusal), now=now_utc())


def _not_admitted(job: Job, now: datetime) -> None:
    if Tribute.objects.filter(id=UUID(job.key), status=TributeStatus.PENDING).exists():
        try:
            sales.reject(UUID(job.key), code=RejectCode.INTERNAL, reason=job.error, now=now)
        except WrongState:
            return


def _verify(job: Job) -> None:
    """Settle a report whose task was cancelled, by what the remote shows."""
    execution = _execution_of(job)
    if execution is None or execution.status != ExecutionStatus.OPEN:
        return
    words = objection_of_remote(execution)
    execution.refresh_from_db()
    results.settle_verified(execution, words, now=now_utc())


def _not_verified(job: Job, now: datetime) -> None:
    execution = _execution_of(job)
    if execution is not None:
        results.note_not_verified(execution, job.error, now=now)


def objection_of_remote(execution: Execution) -> str:
    """Return what speaks against an execution's report; "" when the remote shows its commit."""
    report = results.report_of(execution)
    repository = Repository(execution.tribute.repository, local_node().home)
    repository.ensure()
    objection = objection_to(
        Task.with_released.get(id=execution.task_id),  # who pays settles it, emperor or not
        repository,
        branch=report.git_branch,
        commit=report.commit,
        shown=repository.remote_head(report.git_branch),
    )
    return objection.reason if objection else ""


def _execution_of(job: Job) -> Execution | None:
    return Execution.objects.filter(id=int(job.key)).select_related("tribute").first()


def register() -> None:
    """Register the marketplace's kinds of jobs."""
    jobs.register_kind(sales.ADMIT, jobs.JobKind(_admit, _not_admitted))
    jobs.register_kind(results.VERIFY, jobs.JobKind(_verify, _not_verified))
