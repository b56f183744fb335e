"""The swarm over REST: tasks, agents and this node's runs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router

from p2p.paging import PageQuery, paginate
from swarm.agent_api import router as agent_router
from swarm.descriptions import describe_attempt
from swarm.election.api import router as election_router
from swarm.forge.api import router as forge_router
from swarm.gate.api import router as test_run_router
from swarm.llm.api import router as llm_router
from swarm.models import Attempt
from swarm.plan_api import router as plan_router
from swarm.review.api import router as review_router
from swarm.states import AttemptStatus
from swarm.task_api import router as task_router

router = Router()
router.add_router("", agent_router)
router.add_router("", task_router)
router.add_router("", election_router)
router.add_router("", plan_router)
router.add_router("", test_run_router)
router.add_router("", forge_router)
router.add_router("", review_router)
router.add_router("", llm_router)


class AttemptQuery(PageQuery):
    """Which runs are wanted."""

    status: AttemptStatus | None = None


@router.get("/attempts", tags=["tasks"], summary="List this node's runs")
def list_attempts(request: HttpRequest, query: Query[AttemptQuery]) -> dict[str, Any]:
    """Runs of tasks by this node's agents, for itself and for other nodes, newest first."""
    rows = Attempt.objects.select_related("agent")
    if query.status:
        rows = rows.filter(status=query.status)
    return paginate(rows, query, order="-created_at", describe=describe_attempt)
