"""Pull requests over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict

from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate
from swarm.forge.models import PullRequest
from swarm.forge.queries import describe_pull, describe_pull_whole
from swarm.forge.services import get_pull, request_pull, retry_pull, sync_pull
from swarm.forge.states import PullState

router = Router(tags=["pull requests"])


class PullQuery(PageQuery):
    """Which pull requests are wanted."""

    state: PullState | None = None


class PullIn(Schema):
    """The completed goal that wants a pull request."""

    model_config = ConfigDict(extra="forbid")

    goal_id: UUID


@router.get("/pull-requests", summary="List pull requests")
def list_pulls(request: HttpRequest, query: Query[PullQuery]) -> dict[str, Any]:
    """Pull requests of this node's goals, newest first."""
    rows = PullRequest.objects.all()
    if query.state:
        rows = rows.filter(state=query.state)
    return paginate(rows, query, order="-created_at", describe=describe_pull)


@router.post("/pull-requests", summary="Want a pull request", response={201: dict})
def want(request: HttpRequest, body: PullIn) -> Status[dict[str, Any]]:
    """Want one for a completed goal that has none, as when the token was set later."""
    return Status(201, describe_pull(request_pull(body.goal_id, now=now_utc())))


@router.get("/pull-requests/{pull_id}", summary="Show a pull request")
def show(request: HttpRequest, pull_id: UUID) -> dict[str, Any]:
    """One pull request with the comments that were read and the goals that follow from them."""
    return describe_pull_whole(get_pull(pull_id))


@router.post("/pull-requests/{pull_id}/retry", summary="Try again")
def retry(request: HttpRequest, pull_id: UUID) -> dict[str, Any]:
    """Take a failed pull request up again; 409 when it did not fail."""
    return describe_pull(retry_pull(pull_id, now=now_utc()))


@router.post("/pull-requests/{pull_id}/sync", summary="Look now")
def sync(request: HttpRequest, pull_id: UUID) -> dict[str, Any]:
    """Look at checks and comments of an open pull request now; 409 when it is not open."""
    return describe_pull(sync_pull(pull_id, now=now_utc()))
