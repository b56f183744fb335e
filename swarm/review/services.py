"""Reviews move here: opened, decided once, handed to a person, or dropped with their task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction

from p2p.protocol.errors import DomainError
from p2p.protocol.limits import REVIEW_REASONS_CHARS_MAX
from swarm.errors import NotFound, WrongState
from swarm.hooks import TaskMoved
from swarm.models import Review, Task
from swarm.plain_text import clean_text
from swarm.replication import terms
from swarm.review.models import ReviewState
from swarm.services import jobs
from swarm.services.goals import enqueue_gate, get_task, requeue_or_fail
from swarm.services.transitions import note_event
from swarm.states import Actor, TaskStatus

REVIEW = "review"
COMMAND = "command"
LLM = "llm"
HUMAN = "human"
WHY_CHARS_MAX = 500
NAME_CHARS_MAX = 150
REASONS_IN_EVENT_CHARS = 300
_ASKED = {COMMAND: "the review command", LLM: "a language model"}


def human(name: str) -> str:
    """Return how a person of that name is written down as a reviewer."""
    return f"{HUMAN}:{name[:NAME_CHARS_MAX]}"


def reviews_of(tasks: Sequence[Task]) -> dict[UUID, Review]:
    """Return the review of each task's reported commit, by the task's id; some have none."""
    commits = {task.id: task.commit for task in tasks}
    rows = Review.objects.filter(task__in=list(commits)).exclude(state=ReviewState.DROPPED)
    return {row.task_id: row for row in rows if row.commit == commits[row.task_id]}


def get_review(review_id: UUID) -> Review:
    """Return a review with its task, or raise NotFound."""
    rows = Review.objects.select_related("task__parent", "test_run__goal")
    review = rows.filter(id=review_id).first()
    if review is None:
        raise NotFound("review", review_id)
    return review


def open_review(review: Review) -> bool:
    """Store a new review and ask its reviewer; False where its task moved on meanwhile."""
    now = review.created_at
    with transaction.atomic():
        reported = Task.objects.filter(
            id=review.task_id,
            status=TaskStatus.PENDING_REVIEW,
            commit=review.commit,
            generation=review.generation,
        )
        if not reported.update(updated_at=now):
            return False
        Review.objects.bulk_create([review])
        if (who := _ASKED.get(settings.ENVIRONMENT.reviewer)) is not None:
            _note(review, f"{review.commit[:8]} is reviewed by {who}", now)
            lane = f"review:{review.task_id.hex}"
            jobs.enqueue(REVIEW, key=review.id.hex, lane=lane, now=now)
        else:
            wait_for_person(review.id, "this node has a person review each commit", now=now)
    return True


def wait_for_person(review_id: UUID, why: str, *, now: datetime) -> None:
    """Leave a waiting review to a person and say why; one that is decided stays as it is."""
    waiting = Review.objects.filter(id=review_id, state=ReviewState.WAITING)
    with transaction.atomic():
        if waiting.update(why_human=why[:WHY_CHARS_MAX]):
            _note(waiting.get(), f"the review waits for a person: {why}", now)


def note_opinion(review_id: UUID, *, by: str, opinion: str) -> None:
    """Keep which model was asked about a review, and what it said; empty: nothing valid yet."""
    Review.objects.filter(id=review_id).update(opinion_by=by, opinion=opinion)


def accept(review_id: UUID, *, by: str, reasons: str = "", now: datetime) -> Review:
    """Let the gate merge a commit; WrongState when its review is decided or dropped."""
    terms.require_emperor()
    cleaned = _clean(reasons)
    with transaction.atomic():
        review = _decide(review_id, ReviewState.ACCEPTED, by, cleaned, now)
        _note(review, f"{review.commit[:8]} is accepted by {by}{_said(cleaned)}", now)
        enqueue_gate(review.task.parent or review.task, now=now)
    return review


def reject(review_id: UUID, *, by: str, reasons: str, now: datetime) -> Review:
    """Send a commit back with reasons, for another attempt where one is left.

    WrongState when its review is decided or dropped, DomainError `empty` without reasons.
    """
    terms.require_emperor()
    cleaned = _clean(reasons)
    if not cleaned:
        raise DomainError("empty", "a rejection says why", status=422)
    with transaction.atomic():
        review = _decide(review_id, ReviewState.REJECTED, by, cleaned, now)
        send_back(review, now=now)
    return review


def send_back(review: Review, *, now: datetime) -> None:
    """Send a task back whose commit was rejected; what was said of it is its feedback.

    Where another commit was reported meanwhile, nothing happens.
    """
    with transaction.atomic():
        task = get_task(review.task_id)
        if task.commit != review.commit:
            return
        requeue_or_fail(
            task,
            by=Actor.GATE,
            reason=f"{review.commit[:8]} is rejected by {review.by}{_said(review.reasons)}",
            feedback=f"The review rejected {review.commit[:8]}:\n\n{review.reasons}",
            evidence={"review": review.id.hex, "commit": review.commit, "by": review.by},
            now=now,
        )


def on_task_moved(moved: TaskMoved) -> None:
    """Drop the waiting review of a task that is not to be judged any more."""
    if moved.source == TaskStatus.PENDING_REVIEW and moved.target != TaskStatus.PENDING_REVIEW:
        waiting = Review.objects.filter(task_id=moved.task.id, state=ReviewState.WAITING)
        waiting.update(state=ReviewState.DROPPED, why_human="", decided_at=moved.now)


def _decide(review_id: UUID, state: ReviewState, by: str, reasons: str, now: datetime) -> Review:
    waiting = Review.objects.filter(id=review_id, state=ReviewState.WAITING)
    decided = waiting.update(state=state, by=by, reasons=reasons, why_human="", decided_at=now)
    review = get_review(review_id)
    if not decided:
        raise WrongState(f"review {review_id}", review.state, state)
    return review


def _clean(reasons: str) -> str:
    return clean_text("reasons", reasons, REVIEW_REASONS_CHARS_MAX)


def _said(reasons: str) -> str:
    return f": {reasons[:REASONS_IN_EVENT_CHARS]}" if reasons else ""


def _note(review: Review, reason: str, now: datetime) -> None:
    task = get_task(review.task_id)
    status = TaskStatus(task.status)
    evidence = {"review": review.id.hex, "commit": review.commit}
    note_event(task, status, status, by=Actor.GATE, reason=reason, evidence=evidence, now=now)
