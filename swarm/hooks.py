"""What an upper layer may add to the swarm; it registers itself here in `AppConfig.ready`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from p2p.protocol.codec import Received
from p2p.protocol.errors import DomainError
from swarm.messages import TaskAssign, TaskComplete
from swarm.models import Attempt, Delivery, Task, TaskCopy
from swarm.states import Actor, TaskStatus


@dataclass(frozen=True)
class Hire:
    """A place for one task on another node, paid for under a tribute."""

    node_id: str
    tribute_id: UUID


@dataclass(frozen=True)
class TaskMoved:
    """A transition that just happened, inside its transaction.

    `executor_node_id` and `tribute_id` are those of the task before it was moved.
    """

    task: Task
    source: TaskStatus
    target: TaskStatus
    by: Actor
    reason: str
    evidence: dict[str, Any]
    now: datetime
    executor_node_id: str = ""
    tribute_id: UUID | None = None


@dataclass(frozen=True)
class HireSource:
    """Where work can be hired: for which goals at all, and a place for one of their tasks."""

    goals: Callable[[], set[UUID]]
    hire: Callable[[Task, datetime], Hire | None]


Admission = Callable[[TaskAssign, datetime], str]
TaskListener = Callable[[TaskMoved], None]

hire_sources: list[HireSource] = []
task_listeners: list[TaskListener] = []
agents_listeners: list[Callable[[datetime], None]] = []
delivery_listeners: list[Callable[[Delivery, datetime], None]] = []
# Who types an answer into the terminal of an attempt's agent: (attempt, text, now).
answer_carriers: list[Callable[[Attempt, str, datetime], None]] = []
# Who learns of copies of other members' tasks that were just stored: (copies, now).
copy_listeners: list[Callable[[Sequence[TaskCopy], datetime], None]] = []
# Which tasks of a goal were ever given to somebody whose work is tested in a sandbox only.
stranger_sources: list[Callable[[UUID], set[UUID]]] = []
# Who keeps a TASK_COMPLETE before the task takes it: True where only he still wants it.
report_takers: list[Callable[[Received[TaskComplete], datetime], bool]] = []
# Who keeps the signed TASK_COMPLETE that this node sends: (attempt, frame, now).
report_listeners: list[Callable[[Attempt, bytes, datetime], None]] = []
# Who learns that the remote shows a task's reported commit, inside the transaction.
verified_listeners: list[Callable[[Task, datetime], None]] = []
# What speaks against a reported commit (task, commit) beyond the remote; "" for nothing.
commit_objections: list[Callable[[Task, str], str]] = []
# Who learns of an assignment that was refused: (command, refusal, now).
refusal_listeners: list[Callable[[TaskAssign, DomainError, datetime], None]] = []
# Who learns that this node follows another emperor: (its node id, now).
emperor_listeners: list[Callable[[str, datetime], None]] = []
# Who goes on with what a node that starts, or takes office, has under way: (now).
reconcilers: list[Callable[[datetime], object]] = []
_admissions: list[Admission] = []


def go_on(now: datetime) -> None:
    """Let everybody go on with what a node that starts, or takes office, has under way."""
    for reconciler in reconcilers:
        reconciler(now)


def admit_by(admission: Admission) -> None:
    """Register who decides on assignments from other swarms.

    It returns the reservation whose agents may take the task, or raises DomainError with the
    code that the assigner will see.
    """
    _admissions.append(admission)


def admission() -> Admission | None:
    """Return the registered decision on assignments from other swarms, if any."""
    return _admissions[0] if _admissions else None


def hiring_goals() -> set[UUID]:
    """Return the goals whose tasks may find a place on another node."""
    return set().union(*(source.goals() for source in hire_sources))


def tasks_of_strangers(goal_id: UUID) -> set[UUID]:
    """Return the tasks of a goal that were ever given to somebody whom nobody vouches for."""
    return set().union(*(source(goal_id) for source in stranger_sources))


def report_is_taken(received: Received[TaskComplete], now: datetime) -> bool:
    """Offer a report to the upper layers; True when its task does not want it any more."""
    return any(take(received, now) for take in report_takers)


def objection_to(task: Task, commit: str) -> str:
    """Return the first objection of the upper layers to a reported commit, "" for none."""
    return next((words for ask in commit_objections if (words := ask(task, commit))), "")


def agents_changed(now: datetime) -> None:
    """Tell the upper layers that the set of idle agents may have changed."""
    for listener in agents_listeners:
        listener(now)
