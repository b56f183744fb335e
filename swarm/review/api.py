"""Reviews over REST."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema
from pydantic import ConfigDict

from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate
from p2p.protocol.limits import REVIEW_REASONS_CHARS_MAX
from swarm.models import Review
from swarm.review import services
from swarm.review.models import ReviewState
from swarm.review.queries import count_opinions, describe_review, describe_review_whole

router = Router(tags=["reviews"])


class ReviewQuery(PageQuery):
    """Which reviews are wanted."""

    state: ReviewState | None = None


class RejectIn(Schema):
    """Why a commit is rejected: the feedback of the next attempt."""

    model_config = ConfigDict(extra="forbid")

    reasons: Annotated[str, Field(min_length=1, max_length=REVIEW_REASONS_CHARS_MAX)]


class AcceptIn(Schema):
    """What is to be remembered of an accepted commit, if anything."""

    model_config = ConfigDict(extra="forbid")

    reasons: Annotated[str, Field(max_length=REVIEW_REASONS_CHARS_MAX)] = ""


@router.get("/reviews", summary="List reviews")
def list_reviews(request: HttpRequest, query: Query[ReviewQuery]) -> dict[str, Any]:
    """Reviews of this node's tasks without their diffs, newest first.

    Without those that waited when their task was left to another emperor, who has it reviewed.
    """
    left = Q(state=ReviewState.WAITING, task__released_at__isnull=False)
    rows = Review.objects.exclude(left).select_related("task", "test_run").defer("diff")
    if query.state:
        rows = rows.filter(state=query.state)
    return paginate(rows, query, order="-created_at", describe=describe_review)


@router.get("/reviews/counts", summary="Count what models said")
def counts(request: HttpRequest) -> dict[str, Any]:
    """How often each model accepted, rejected, was unsure, or gave no valid answer."""
    return {"items": count_opinions()}


@router.get("/reviews/{review_id}", summary="Show a review")
def show(request: HttpRequest, review_id: UUID) -> dict[str, Any]:
    """One review with the task, the diff and the test run that its reviewer is shown."""
    return describe_review_whole(services.get_review(review_id))


@router.post("/reviews/{review_id}/accept", summary="Accept a commit")
def accept(request: HttpRequest, review_id: UUID, body: AcceptIn | None = None) -> dict[str, Any]:
    """Let the gate merge the commit; 409 when the review is decided or dropped."""
    reasons = body.reasons if body else ""
    return describe_review(
        services.accept(review_id, by=_caller(request), reasons=reasons, now=now_utc())
    )


@router.post("/reviews/{review_id}/reject", summary="Reject a commit")
def reject(request: HttpRequest, review_id: UUID, body: RejectIn) -> dict[str, Any]:
    """Send the commit back with reasons; 409 when the review is decided or dropped."""
    return describe_review(
        services.reject(review_id, by=_caller(request), reasons=body.reasons, now=now_utc())
    )


def _caller(request: HttpRequest) -> str:
    """Return who decides: the name of the session's user, or that of the API token."""
    caller = getattr(request, "auth", "")
    return services.human(caller if isinstance(caller, str) else caller.get_username())
