"""Questions of agents, on the node whose task it is: shown to a person, and answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from p2p import outbox
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.budgets import spent
from swarm.messages import TaskAnswer
from swarm.models import Task
from swarm.plain_text import require_text
from swarm.services import asking
from swarm.services.goals import get_task
from swarm.services.reports import SUMMARY_CHARS_MAX, lease_end, task_of_report
from swarm.services.transitions import move_task, note_event
from swarm.states import Actor, TaskStatus


def apply_question(
    task_id: UUID,
    *,
    generation: int,
    from_node_id: str,
    number: int,
    question: str,
    choices: Sequence[str],
    now: datetime,
) -> None:
    """Let a task of ours wait for a person's answer; an older question changes nothing."""
    task = task_of_report(task_id, generation, from_node_id)
    asked, current = (generation, number), (task.question_generation, task.question_number)
    if asked == current and _answer_is_lost(task):
        reopen_question(
            task_id,
            generation=generation,
            number=number,
            detail="the agent never got it from the emperor before",
            now=now,
        )
    if asked <= current:
        return
    columns = {
        "question": question,
        "choices": list(choices),
        "question_generation": generation,
        "question_number": number,
        "asked_at": now,
        "answer": "",
        "answered_at": None,
        "lease_expires_at": lease_end(now),
    }
    if task.status == TaskStatus.WAITING_INPUT:
        # The word that the agent went on after the last answer may still be under way.
        Task.objects.filter(id=task.id, generation=generation).update(**columns)
        task.refresh_from_db()
        _note(task, f"asks: {question}", Actor.REPORT, now)
        return
    move_task(
        task.id,
        TaskStatus.WAITING_INPUT,
        by=Actor.REPORT,
        reason=f"{task.assigned_agent or 'agent'} at {from_node_id[:8]} asks: {question}",
        now=now,
        evidence={"number": number, "choices": list(choices), "node_id": from_node_id},
        **columns,
    )


def apply_resumption(
    task_id: UUID, *, generation: int, from_node_id: str, number: int, now: datetime
) -> None:
    """Let a task work again whose agent was seen to go on after the answer."""
    task = task_of_report(task_id, generation, from_node_id)
    current = (task.question_generation, task.question_number) == (generation, number)
    if task.status != TaskStatus.WAITING_INPUT or not current:
        return
    if task.answered_at is None and not task.generation_floor:
        return  # else the emperor before was told the answer, and not we
    move_task(
        task.id,
        TaskStatus.IN_PROGRESS,
        by=Actor.REPORT,
        reason=f"{task.assigned_agent or 'agent'} at {from_node_id[:8]} has the answer",
        now=now,
        lease_expires_at=lease_end(now),
    )


def answer_task(task_id: UUID, *, text: str, now: datetime) -> Task:
    """Give a person's answer to the agent that asked.

    DomainError `not_asking` where the task asks nothing, `already_answered` the second time.
    """
    answer = require_text("answer", text, SUMMARY_CHARS_MAX)
    with transaction.atomic():
        task = get_task(task_id)
        if task.over_budget:
            return spent.decide(task, answer, now=now)
        answered = Task.objects.filter(
            id=task_id,
            status=TaskStatus.WAITING_INPUT,
            question_number=task.question_number,
            answered_at__isnull=True,
        ).update(answer=answer, answered_at=now, updated_at=now)
        if not answered:
            raise _not_asking(task)
        task.refresh_from_db()
        _note(task, f"answered: {answer}", Actor.OPERATOR, now)
        _pass_on(task, now)
    return task


def reopen_question(
    task_id: UUID, *, generation: int, number: int, detail: str, now: datetime
) -> None:
    """Ask again for an answer that the executor did not take, and say why."""
    with transaction.atomic():
        reopened = Task.objects.filter(
            id=task_id,
            status=TaskStatus.WAITING_INPUT,
            question_generation=generation,
            question_number=number,
        ).update(answer="", answered_at=None, updated_at=now)
        if reopened:
            _note(get_task(task_id), f"the answer was not taken: {detail}", Actor.REPORT, now)


def _pass_on(task: Task, now: datetime) -> None:
    """Hand the answer to the executor: to ourselves, or by a command that waits for its ACK."""
    if task.assigned_node == local_node().node_id:
        asking.take_answer(
            task.id,
            assigner_node_id=local_node().node_id,
            generation=task.question_generation,
            number=task.question_number,
            answer=task.answer,
            now=now,
        )
        return
    outbox.send_command(
        TaskAnswer,
        to_node_id=task.assigned_node,
        now=now,
        expires_in_s=None,
        task_id=task.id.hex,
        generation=task.question_generation,
        number=task.question_number,
        answer=task.answer,
    )


def _answer_is_lost(task: Task) -> bool:
    """Tell whether an answer was given under the emperor before, whose text was never told of."""
    waits = task.status == TaskStatus.WAITING_INPUT and task.answered_at is not None
    return waits and not task.answer and not task.over_budget


def _note(task: Task, reason: str, by: Actor, now: datetime) -> None:
    status = TaskStatus(task.status)
    note_event(task, status, status, by=by, reason=reason, now=now, evidence={"to": task.question})


def _not_asking(task: Task) -> DomainError:
    if task.status == TaskStatus.WAITING_INPUT and task.answered_at is not None:
        at = task.answered_at.isoformat(timespec="seconds").replace("+00:00", "Z")
        return DomainError(
            "already_answered",
            f"question {task.question_number} of task {task.id} was answered at {at}: "
            f"{task.answer[:200]!r}",
        )
    return DomainError("not_asking", f"task {task.id} is {task.status} and asks nothing")
