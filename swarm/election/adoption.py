"""Taking over: what an emperor before has left becomes the work of the one in office.

Only what signed records tell is known. Dispatches are numbered above a gap, so that none which
the emperor before made and nobody told of can be mistaken for one of ours.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db import DatabaseError, transaction
from django.db.models import Max, Q

from p2p.local import local_node
from p2p.models import Record as StoredRecord
from p2p.protocol.errors import VoidLuxError
from p2p.protocol.limits import COUNT_MAX
from swarm import hooks
from swarm.election.redirecting import redirect_runs
from swarm.models import Task, TaskCopy, TaskEvent
from swarm.replication import terms
from swarm.replication.messages import TASKS, TaskBody, Term
from swarm.replication.restoring import missing_events, task_columns
from swarm.replication.tasks import ARCHIVED_KEPT
from swarm.services.goals import enqueue_gate, fail_goal, get_task
from swarm.services.reconciliation import reconcile_tasks
from swarm.services.reports import lease_end
from swarm.services.transitions import note_event
from swarm.states import TASK_TERMINAL, TASK_WITH_AGENT, Actor, TaskStatus

log = logging.getLogger(__name__)

ADOPTION_GAP = 100  # generations that the emperor before may have given out unknown to us
PLAN_WAIT = timedelta(seconds=70)  # a pull sync, which comes every minute, brings the rest of it
TASKS_AT_ONCE = 100  # about half a second; an emperor must not be too busy to be heard
_BEGUN = (TaskStatus.IN_PROGRESS, TaskStatus.MERGING)


@dataclass(frozen=True)
class _Family:
    """A goal and its subtasks, as far as copies tell of them; the goal may be held already."""

    goal_id: UUID
    goal: TaskBody | None
    subtasks: list[TaskBody]
    emperors: dict[UUID, str]
    progress: dict[UUID, str]

    @property
    def bodies(self) -> list[TaskBody]:
        return [*([self.goal] if self.goal else []), *self.subtasks]

    @property
    def ended(self) -> bool:
        return all(body.status in TASK_TERMINAL for body in self.bodies)

    @property
    def lacks(self) -> bool:
        """Whether the goal's plan has subtasks that no record told us of."""
        if self.goal is None or self.goal.status not in _BEGUN:
            return False
        return not self.goal.subtasks or len(self.subtasks) < self.goal.subtasks


def adopt_tasks(now: datetime) -> int:
    """Make the tasks of lower terms this node's own while it is in office; returns how many.

    Each goal is taken with all its subtasks, or later: when the rest of its plan has come. Of
    many goals those that are over come last, and some wait for the next call. Runs of this node
    go on with their tasks, and every task is brought to where something goes on with it.
    """
    if not terms.is_emperor():
        return 0
    copies = _left_by_others(now)
    if not copies:
        return 0
    with transaction.atomic():
        families = _families(copies, terms.own_term(now))
        adopted, open_ones = 0, 0
        for family in sorted(families, key=lambda each: each.ended):  # what is over can wait
            if adopted >= TASKS_AT_ONCE:
                break
            taken = _adopt_safely(family, now)
            adopted += taken
            open_ones += taken if not family.ended else 0
        if open_ones:
            redirect_runs(local_node().node_id, now)
            reconcile_tasks(now)
        elif adopted:
            hooks.go_on(now)
    return adopted


def _left_by_others(now: datetime) -> list[TaskCopy]:
    counts = Q(archived_at__isnull=True) | Q(archived_at__gt=now - ARCHIVED_KEPT)
    return list(TaskCopy.objects.filter(counts).order_by("created_at", "number"))


def _families(copies: Sequence[TaskCopy], own: Term) -> list[_Family]:
    """Sort copies by their goals; what this node holds itself is no copy any more."""
    ids = [copy.id for copy in copies]
    held = set(Task.objects.filter(id__in=ids).values_list("id", flat=True))
    TaskCopy.objects.filter(id__in=held).delete()
    families: dict[UUID, _Family] = {}
    for copy in copies:
        lower = Term(counter=copy.term, node_id=copy.emperor_node_id).rank < own.rank
        body = _body_of(copy) if lower and copy.id not in held else None
        if body is None:
            continue
        goal_id = copy.parent_id or copy.id
        known = families.get(goal_id) or _Family(goal_id, None, [], {}, {})
        if copy.parent_id is None:
            known = _Family(goal_id, body, known.subtasks, known.emperors, known.progress)
        else:
            known.subtasks.append(body)
        known.emperors[copy.id] = copy.emperor_node_id
        known.progress[copy.id] = copy.progress
        families[goal_id] = known
    return [family for family in families.values() if _is_whole(family)]


def _is_whole(family: _Family) -> bool:
    """Tell whether a goal is there for its subtasks: ours, or among the copies."""
    return family.goal is not None or Task.objects.filter(id=family.goal_id).exists()


def _body_of(copy: TaskCopy) -> TaskBody | None:
    try:
        return msgspec.convert(copy.body, TaskBody)
    except msgspec.ValidationError as error:
        log.warning("task %s cannot be adopted: %s", copy.id, error)
        return None


def _adopt_safely(family: _Family, now: datetime) -> int:
    if family.lacks and _may_still_come(family.goal_id, now):
        return 0
    try:
        with transaction.atomic():
            return _adopt(family, now)
    except (VoidLuxError, DatabaseError):
        # Whatever is wrong with one goal, the others do not wait for it.
        log.exception("goal %s was not adopted", family.goal_id)
        return 0


def _may_still_come(goal_id: UUID, now: datetime) -> bool:
    own = terms.own_row()
    record = StoredRecord.objects.filter(topic=TASKS, key=goal_id.hex).first()
    moments = [own.known_at if own else None, record.received_at if record else None]
    return any(moment is not None and now - moment < PLAN_WAIT for moment in moments)


def _adopt(family: _Family, now: datetime) -> int:
    term = terms.own_term(now)
    bodies = family.bodies
    ids = [UUID(body.id) for body in bodies]
    known = Task.with_released.in_bulk(ids)
    rows = []
    for body in bodies:
        task = Task(**_columns(body, family, known.get(UUID(body.id)), now))
        task.term = term.counter
        rows.append(task)
    _store(rows)
    _connect(family.subtasks)
    _remember(bodies, ids)
    TaskCopy.objects.filter(id__in=ids).delete()
    for task in rows:
        _announce(task, family.emperors[task.id], term, now)
    if family.lacks and family.goal is not None and family.subtasks:
        whole = family.goal.subtasks or "all"
        reason = f"of {whole} subtasks of its plan {len(family.subtasks)} are known: submit it anew"
        fail_goal(family.goal_id, reason=reason, now=now)
    elif family.subtasks and not family.ended:
        _look_at_remote(family.goal_id, now)
    return len(rows)


def _look_at_remote(goal_id: UUID, now: datetime) -> None:
    """Have the gate see what the emperor before pushed and told nobody, before it is done again."""
    goal = get_task(goal_id)
    if goal.status == TaskStatus.IN_PROGRESS:
        enqueue_gate(goal, now=now, at_once=True)


def _columns(body: TaskBody, family: _Family, held: Task | None, now: datetime) -> dict[str, Any]:
    """Return a task's row as it is from now on."""
    columns = task_columns(body)
    same_answer = held is not None and (
        (held.question_generation, held.question_number, held.answered_at)
        == tuple(columns[name] for name in _QUESTION)
    )
    columns |= {
        "released_at": None,
        "lease_expires_at": None,
        "waiting_reason": "",
        "progress": "",
        "answer": held.answer if held is not None and same_answer else "",
        "changed_paths": held.changed_paths if held and held.commit == columns["commit"] else [],
    }
    if body.status not in TASK_TERMINAL:
        highest = max(body.generation, body.generation_floor)
        columns["generation_floor"] = min(COUNT_MAX, highest + ADOPTION_GAP)
    if body.parent_id is None and family.lacks and not family.subtasks:
        columns["status"] = TaskStatus.PLANNING  # nothing of the plan was ever known
    if columns["status"] == TaskStatus.PLANNING:
        columns |= {"assigned_node": "", "assigned_agent": "", "assigned_agent_id": None}
    if body.parent_id is not None and columns["status"] in TASK_WITH_AGENT:
        columns["lease_expires_at"] = lease_end(now)
        columns["progress"] = family.progress[UUID(body.id)]
    return columns


_QUESTION = ("question_generation", "question_number", "answered_at")


def _store(rows: Sequence[Task]) -> None:
    names = [field.name for field in Task._meta.concrete_fields if not field.primary_key]
    # Goals first: their subtasks point at them.
    Task.with_released.bulk_create(
        sorted(rows, key=lambda task: task.parent_id is not None),
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=names,
    )


def _connect(subtasks: Sequence[TaskBody]) -> None:
    """Store which subtasks come first; one that is not known is not waited for."""
    through = Task.depends_on.through
    wanted = {UUID(body.id): [UUID(each) for each in body.depends_on] for body in subtasks}
    named = {each for needed in wanted.values() for each in needed}
    known = set(Task.objects.filter(id__in=named).values_list("id", flat=True))
    through.objects.filter(from_task_id__in=wanted).delete()
    through.objects.bulk_create(
        through(from_task_id=task_id, to_task_id=each)
        for task_id, needed in wanted.items()
        for each in dict.fromkeys(needed)
        if each in known
    )


def _remember(bodies: Sequence[TaskBody], ids: Sequence[UUID]) -> None:
    """Store the moves that records tell of and that are not known here."""
    events = TaskEvent.objects.filter(task_id__in=ids).order_by().values_list("task_id")
    known = dict(events.annotate(last=Max("at")))
    TaskEvent.objects.bulk_create(
        event for body in bodies for event in missing_events(body, known.get(UUID(body.id)))
    )


def _announce(task: Task, emperor_node_id: str, term: Term, now: datetime) -> None:
    """Write down who has the task now, and tell of it; what is archived is told of no more."""
    reason = f"taken over from {emperor_node_id[:8]}, term {term.counter}"
    same = TaskStatus(task.status)
    if task.archived_at is None:
        note_event(task, same, same, by=Actor.ELECTION, reason=reason, now=now)
        return
    TaskEvent.objects.create(
        task=task, source=same, target=same, by=Actor.ELECTION, reason=reason, at=now
    )
