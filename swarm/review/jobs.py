"""Reviewers as a kind of job: command and model; what goes wrong leaves the review to a person."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.protocol.errors import ExternalError
from swarm import hooks
from swarm.errors import WrongState
from swarm.models import Job, Review
from swarm.review import llm, services
from swarm.review.command import NoVerdict, Verdict, ask_command
from swarm.review.models import Opinion, ReviewState
from swarm.services import jobs
from swarm.services.goals import enqueue_gate

log = logging.getLogger(__name__)

MODEL_TRIES_MAX = 3  # by the job, each after what the provider asked to wait


def register() -> None:
    """Register the kind of job, and hear of tasks that move."""
    jobs.register_kind(services.REVIEW, jobs.JobKind(_run, _failed))
    hooks.task_listeners.append(services.on_task_moved)


def question_about(review: Review) -> dict[str, Any]:
    """Return what a reviewer is asked, JSON-ready: the task, its diff and its test run."""
    task, run = review.task, review.test_run
    return {
        "task": {
            "id": task.id.hex,
            "title": task.title,
            "instructions": task.instructions or task.shell,
            "acceptance_criteria": task.acceptance_criteria,
            "attempt": review.attempt,
        },
        "commit": review.commit,
        "changed_paths": review.changed_paths,
        "diff": review.diff,
        "diff_chars": review.diff_chars,
        "diff_is_cut": review.diff_is_cut,
        "test": {
            "command": run.command if run else "",
            "passed": run.passed if run else None,
            "failing_tests": run.failing_tests if run else [],
            "output_tail": run.output_tail if run else "",
        },
    }


def _run(job: Job) -> None:
    rows = Review.objects.select_related("task__parent", "test_run")
    review = rows.filter(id=UUID(job.key), state=ReviewState.WAITING).first()
    if review is None or review.why_human:
        return
    reviewer = settings.ENVIRONMENT.reviewer
    if not reviewer:
        enqueue_gate(review.task.parent or review.task, now=now_utc())
    elif reviewer == services.COMMAND:
        _ask(review)
    elif reviewer == services.LLM:
        _ask_model(review, job)
    else:
        services.wait_for_person(review.id, f"VOIDLUX_REVIEWER is {reviewer}", now=now_utc())


def _ask(review: Review) -> None:
    try:
        verdict = ask_command(
            settings.ENVIRONMENT.review_command,
            question_about(review),
            folder=local_node().home / "reviews" / review.id.hex,
            time_limit_s=settings.ENVIRONMENT.review_time_limit_s,
        )
    except NoVerdict as failure:
        why = f"the review command gave no verdict: {failure}"
        services.wait_for_person(review.id, why, now=now_utc())
        return
    _apply(review, verdict, services.COMMAND)


def _ask_model(review: Review, job: Job) -> None:
    by = llm.reviewer_for(review)
    try:
        verdict = llm.ask_model(review, question_about(review))
    except llm.NotShown as reason:
        services.wait_for_person(review.id, f"no model was asked: {reason}", now=now_utc())
        return
    except (llm.NoOpinion, ExternalError) as failure:
        services.note_opinion(review.id, by=by, opinion="")
        if isinstance(failure, ExternalError) and job.attempts + 1 < MODEL_TRIES_MAX:
            raise
        services.wait_for_person(review.id, f"the model gave no verdict: {failure}", now=now_utc())
        return
    services.note_opinion(review.id, by=by, opinion=verdict.verdict)
    if verdict.verdict == Opinion.UNSURE:
        why = f"{by} is unsure: {verdict.reasons}"
        services.wait_for_person(review.id, why, now=now_utc())
        return
    _apply(review, Verdict(verdict.verdict == Opinion.ACCEPT, verdict.reasons), by)


def _apply(review: Review, verdict: Verdict, by: str) -> None:
    decide = services.accept if verdict.accepted else services.reject
    try:
        decide(review.id, by=by, reasons=verdict.reasons, now=now_utc())
    except WrongState as decided:
        log.info("the verdict on review %s came too late: %s", review.id, decided)


def _failed(job: Job, now: datetime) -> None:
    services.wait_for_person(UUID(job.key), f"the review failed: {job.error}", now=now)
