"""Reads of reviews, as plain data for the API and rows for the dashboard."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet

from swarm.descriptions import describe_test_run
from swarm.models import Review
from swarm.review.models import Opinion, ReviewState


def reviews_for_people() -> QuerySet[Review]:
    """Return the reviews that wait for a person, oldest first, without their diffs."""
    waiting = Review.objects.filter(state=ReviewState.WAITING).exclude(why_human="")
    return waiting.select_related("task__parent", "test_run").defer("diff").order_by("created_at")


def describe_review(review: Review) -> dict[str, Any]:
    """Return a review as JSON-ready data: ids as hex, times as RFC 3339; without the diff."""
    task, run = review.task, review.test_run
    return {
        "id": review.id.hex,
        "task_id": task.id.hex,
        "goal_id": (task.parent_id or task.id).hex,
        "title": task.title,
        "attempt": review.attempt,
        "generation": review.generation,
        "commit": review.commit,
        "state": review.state,
        "by": review.by,
        "reasons": review.reasons,
        "why_human": review.why_human,
        "opinion_by": review.opinion_by,
        "opinion": review.opinion,
        "tests_passed": run.passed if run else None,
        "diff_chars": review.diff_chars,
        "changed_paths": review.changed_paths,
        "created_at": _time(review.created_at),
        "decided_at": _time(review.decided_at),
    }


def count_opinions() -> list[dict[str, Any]]:
    """Return how often each model accepted, rejected, was unsure or gave no valid answer."""
    asked = Review.objects.exclude(opinion_by="").order_by("opinion_by").values("opinion_by")
    counts = {each: Count("id", filter=Q(opinion=each)) for each in Opinion.values}
    rows = asked.annotate(**counts, no_verdict=Count("id", filter=Q(opinion="")))
    return [dict(each) for each in rows]


def describe_review_whole(review: Review) -> dict[str, Any]:
    """Return a review with what its reviewer is shown: task, diff and test run."""
    task, run = review.task, review.test_run
    return {
        **describe_review(review),
        "instructions": task.instructions or task.shell,
        "acceptance_criteria": task.acceptance_criteria,
        "merged_commit": review.merged_commit,
        "diff": review.diff,
        "diff_is_cut": review.diff_is_cut,
        "test_run": describe_test_run(run) if run else None,
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
