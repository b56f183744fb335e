"""The election over REST."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router
from ninja.responses import Status

from p2p.clock import now_utc
from swarm.election.abdication import abdicate
from swarm.election.queries import describe_election

router = Router(tags=["node"])


@router.get("/election", summary="Show the election")
def show_election(request: HttpRequest) -> dict[str, Any]:
    """Who is emperor, since when and where; known terms, timing, and who was heard when."""
    return describe_election(now_utc())


@router.post("/election/abdicate", summary="Give up the office", response={202: dict})
def give_up_office(request: HttpRequest) -> Status[dict[str, Any]]:
    """Let another member be elected; its tasks go on there. 409 where nobody could follow."""
    now = now_utc()
    abdicate(now)
    return Status(202, describe_election(now))
