"""A review close up: the diff, what the tests said, and the verdict of a person."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.errors import NotEmperor
from swarm.models import Review
from swarm.review import services
from swarm.review.models import ReviewState
from voidlux_site.dashboard.answers import refusals_shown, saved, staff_only
from voidlux_site.dashboard.forms import RejectionForm

_PARTS = ("attention", "waiting", "tasks", "task-facts")


@require_http_methods(["GET", "POST"])
@staff_only
@refusals_shown
def show(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Show what a reviewer is shown; a POST rejects it with reasons."""
    review = services.get_review(review_id)
    form = RejectionForm(request.POST or None)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                return _reject(request, review, form.cleaned_data["reasons"])
            except NotEmperor:
                raise
            except DomainError as error:
                form.add_error(None, error.message)
    context: dict[str, Any] = {
        "review": review,
        "form": form,
        "now": now_utc(),
        "test_runs": [review.test_run] if review.test_run else [],
        "waiting": review.state == ReviewState.WAITING,
    }
    return render(request, "dashboard/details/review.html", context, status=status)


@require_POST
@staff_only
@refusals_shown
def accept(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Let the gate merge what was reviewed."""
    review = services.accept(review_id, by=_caller(request), now=now_utc())
    return saved(f"{review.task.title} is accepted", *_PARTS)


def _reject(request: HttpRequest, review: Review, reasons: str) -> HttpResponse:
    services.reject(review.id, by=_caller(request), reasons=reasons, now=now_utc())
    return saved(f"{review.task.title} is sent back", *_PARTS)


def _caller(request: HttpRequest) -> str:
    return services.human(request.user.get_username())
