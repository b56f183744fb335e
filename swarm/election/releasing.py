"""Stepping down: this node's tasks become what they are to every other member, copies to read."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from p2p.local import local_node
from p2p.models import OutboxKind, OutboxMessage
from p2p.models import Record as StoredRecord
from p2p.record_rows import record_in
from p2p.registration import number_of, registry
from swarm.messages import TaskAssign
from swarm.models import Task, TaskCopy
from swarm.replication import terms
from swarm.replication.bodies import task_body
from swarm.replication.messages import TASKS, TaskRecord, Term
from swarm.replication.tasks import ARCHIVED_KEPT, copy_of, store_copies
from swarm.services import jobs

LEFT = "left to another emperor"
WITHDRAWN = "released"


def release_tasks(now: datetime) -> int:
    """Leave every task to the next emperor, as its last record says; returns how many.

    The rows stay as evidence, and nothing that looks at `Task.objects` sees them any more. Jobs
    of goals that wait are closed; assignments to members that were not answered are taken back.
    """
    with transaction.atomic():
        held = list(Task.objects.all())
        if held:
            store_copies([each for task in held if (each := _copy(task, now)) is not None])
            Task.objects.update(released_at=now)
        jobs.close_of_office(reason=LEFT, now=now)
        _take_assignments_back(now)
    return len(held)


def _copy(task: Task, now: datetime) -> TaskCopy | None:
    if task.archived_at is not None and task.archived_at < now - ARCHIVED_KEPT:
        return None
    stored = StoredRecord.objects.filter(topic=TASKS, key=task.id.hex).first()
    record = record_in(bytes(stored.frame)) if stored is not None else None
    if isinstance(record, TaskRecord):
        return copy_of(record.term, record.task)
    return copy_of(_last_term(), task_body(task))  # members were never told of it


def _last_term() -> Term:
    own = terms.own_row()
    counter = own.counter if own is not None else terms.FIRST_TERM
    return Term(counter=counter, node_id=local_node().node_id)


def _take_assignments_back(now: datetime) -> None:
    waiting = OutboxMessage.objects.filter(
        kind=OutboxKind.COMMAND, number=number_of(TaskAssign), done_at__isnull=True
    )
    for row in waiting:
        command = registry.decode(bytes(row.frame))
        # A hired node is told by who pays it, which is this one, emperor or not.
        if isinstance(command, TaskAssign) and command.tribute_id is None:
            OutboxMessage.objects.filter(id=row.id).update(
                done_at=now, due_at=None, outcome=WITHDRAWN, detail=LEFT
            )
