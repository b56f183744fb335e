"""The topic `tasks`: an emperor's tasks as records, and what other members hold of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from django.db import transaction

from p2p import outbox, records
from p2p.local import local_node
from p2p.models import Record as StoredRecord
from p2p.protocol.messages import Record
from p2p.protocol.timestamps import from_timestamp
from p2p.registration import Authority
from swarm import hooks
from swarm.models import Task, TaskCopy
from swarm.replication import authority, terms
from swarm.replication.bodies import check_dates, describe_copy, task_body
from swarm.replication.messages import (
    TASKS,
    ElectionVictory,
    TaskArchive,
    TaskBody,
    TaskCancel,
    TaskCreate,
    TaskRecord,
    TaskUpdate,
    Term,
)
from swarm.states import TaskStatus

log = logging.getLogger(__name__)

ARCHIVED_KEPT = timedelta(days=7)


class _Head(msgspec.Struct):
    """What is read of a stored record to know its term."""

    term: Term


_HEAD = msgspec.json.Decoder(_Head)


def publish_task(task: Task, now: datetime) -> None:
    """Tell members of a task as it is now; nothing where this node has none or is no emperor."""
    if not (terms.has_members() and terms.is_emperor()):
        return
    outbox.publish_record(_class_for(task), now=now, term=terms.own_term(now), task=task_body(task))


def publish_missing(now: datetime) -> int:
    """Publish tasks that no record of this node's term tells of; returns how many.

    After a change of the term that is all of them: a new emperor announces itself anew.
    """
    if not (terms.has_members() and terms.is_emperor()):
        return 0
    term = terms.own_term(now)
    told = _told_in(term.counter)
    missing = [
        task for task in Task.objects.filter(archived_at__isnull=True) if task.id not in told
    ]
    for task in missing:
        publish_task(task, now)
    return len(missing)


def authority_of(record: Record) -> Authority:
    """A victory proclaims its own node; a task counts when its emperor's victory is known."""
    if isinstance(record, ElectionVictory):
        return authority.authority_of_victory(record)
    assert isinstance(record, TaskRecord)
    check_dates(record.task)
    return authority.authority_of_term(record.term, record.origin)


def rank_of(record: Record) -> tuple[int, ...]:
    """Order versions by term: a higher counter first, then the lower emperor id."""
    assert isinstance(record, TaskRecord | ElectionVictory)
    return record.term.rank


def expires_at_of(record: Record) -> datetime | None:
    """Tasks count until they are archived; tombstones last 7 days."""
    return None


def apply_records(records_: Sequence[Record], now: datetime) -> None:
    """Bring the copies up to the records that won; many at once."""
    victories = [each for each in records_ if isinstance(each, ElectionVictory)]
    for victory in victories:
        _take_victory(victory, now)
    if victories:
        # After this batch, which may have parked what the victory makes count.
        transaction.on_commit(lambda: records.retry_parked(TASKS, now), robust=True)
    _take([each for each in records_ if isinstance(each, TaskRecord)], now)


def forget(keys: Sequence[str], now: datetime) -> None:
    """Drop copies whose records are discarded, because they may be out of date."""
    TaskCopy.objects.filter(id__in=[UUID(key) for key in keys if len(key) == 32]).delete()


def forget_archived(now: datetime) -> int:
    """Drop copies that were archived long ago, as their records are; returns how many."""
    return TaskCopy.objects.filter(archived_at__lt=now - ARCHIVED_KEPT).delete()[0]


def store_copies(rows: Sequence[TaskCopy]) -> None:
    """Store copies, each in the place of what was known of its task before."""
    TaskCopy.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=[
            "parent_id",
            "emperor_node_id",
            "term",
            "number",
            "status",
            "required_capabilities",
            "progress",
            "body",
            "created_at",
            "updated_at",
            "archived_at",
        ],
    )


def copy_of(term: Term, body: TaskBody) -> TaskCopy:
    """Return the copy of a task as a record of `term` tells of it, not saved yet."""
    return TaskCopy(
        id=UUID(body.id),
        parent_id=UUID(body.parent_id) if body.parent_id else None,
        emperor_node_id=term.node_id,
        term=term.counter,
        number=body.number,
        status=body.status,
        required_capabilities=list(body.required_capabilities),
        body=msgspec.to_builtins(body),
        created_at=from_timestamp(body.created_at),
        updated_at=from_timestamp(body.updated_at),
        archived_at=from_timestamp(body.archived_at) if body.archived_at else None,
    )


def _take_victory(victory: ElectionVictory, now: datetime) -> None:
    from swarm.election import hearing  # it stands above this module

    hearing.take_victory(victory, now)


def _class_for(task: Task) -> type[TaskRecord]:
    if task.archived_at is not None:
        return TaskArchive
    if task.status == TaskStatus.CANCELLED:
        return TaskCancel
    return TaskCreate if task.updated_at == task.created_at else TaskUpdate


def _told_in(counter: int) -> set[UUID]:
    """Return the tasks of which a record of this node and term is stored."""
    own = StoredRecord.objects.filter(topic=TASKS, origin=local_node().node_id)
    told = set()
    for key, frame in own.values_list("key", "frame"):
        if len(key) == 32 and _HEAD.decode(bytes(frame)).term.counter == counter:
            told.add(UUID(key))
    return told


def _take(told: Sequence[TaskRecord], now: datetime) -> None:
    """Store copies of tasks that this node does not move, also of those that it moved once."""
    ids = [UUID(each.task.id) for each in told]
    own = set(Task.objects.filter(id__in=ids).values_list("id", flat=True))
    rows = [copy_of(each.term, each.task) for each in told if UUID(each.task.id) not in own]
    store_copies(rows)
    for row in rows:
        outbox.publish_event(
            "task_update", row.status, {"task": describe_copy(row), "reason": ""}, now=now
        )
    for listener in hooks.copy_listeners:
        listener(rows, now)
