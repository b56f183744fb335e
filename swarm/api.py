"""The swarm over REST: agents and this node's runs, with the tasks of `task_api`."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict

from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate, paginate_together
from swarm.agents.sockets import socket_name
from swarm.agents.tmux import TmuxServer
from swarm.descriptions import describe_attempt, explain_agent
from swarm.models import Agent, Attempt, RemoteAgent
from swarm.queries import describe_agent
from swarm.replication.agents import describe_remote
from swarm.replication.pulses import silences_s
from swarm.services.agents import get_agent, register_agent, remove_agent
from swarm.states import AttemptStatus
from swarm.task_api import router as task_router

OUTPUT_LINES_MAX = 5_000

router = Router()
router.add_router("", task_router)


class AgentIn(Schema):
    """An agent to register."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=64)]
    tool: Annotated[str, Field(min_length=1, max_length=32)] = "shell"
    capabilities: Annotated[list[str], Field(max_length=32)] = []


class AttemptQuery(PageQuery):
    """Which runs are wanted."""

    status: AttemptStatus | None = None


@router.get("/agents", tags=["agents"], summary="List agents")
def list_agents(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """This node's agents and those of the other members of its swarm, by name.

    `own` tells them apart; `node_silent_s` is how long another node was not heard of.
    """
    silences = silences_s(now_utc())
    own = Agent.objects.select_related("attempt")
    return paginate_together(
        [
            (own, describe_agent),
            (
                RemoteAgent.objects.all(),
                lambda row: describe_remote(row, silent_s=silences.get(row.node_id)),
            ),
        ],
        page,
        order="name",
    )


@router.post("/agents", tags=["agents"], summary="Register an agent", response={201: dict})
def add_agent(request: HttpRequest, agent: AgentIn) -> Status[dict[str, Any]]:
    """Register an agent; its terminal session is started by the node."""
    created = register_agent(**agent.dict(), now=now_utc())
    return Status(201, describe_agent(created))


@router.get("/agents/{agent_id}", tags=["agents"], summary="Show an agent")
def show_agent(request: HttpRequest, agent_id: UUID) -> dict[str, Any]:
    """One agent with the evidence of its state, of this node or of another member."""
    remote = RemoteAgent.objects.filter(id=agent_id).first()
    if remote is not None:
        return describe_remote(remote, silent_s=silences_s(now_utc()).get(remote.node_id))
    return describe_agent(get_agent(agent_id))


@router.get("/agents/{agent_id}/explain", tags=["agents"], summary="Explain an agent's state")
def explain(request: HttpRequest, agent_id: UUID) -> dict[str, Any]:
    """Which evidence says what the agent is doing, and how old it is (seconds)."""
    return explain_agent(get_agent(agent_id), now_utc())


@router.get("/agents/{agent_id}/output", tags=["agents"], summary="Show an agent's terminal")
def show_output(
    request: HttpRequest,
    agent_id: UUID,
    lines: Annotated[int, Field(ge=1, le=OUTPUT_LINES_MAX)] = 50,
) -> dict[str, Any]:
    """The last lines of the agent's screen and history as plain text."""
    agent = get_agent(agent_id)
    text = TmuxServer(socket_name()).capture(agent.session, lines)
    return {"agent_id": agent.id.hex, "session": agent.session, "lines": lines, "output": text}


@router.delete("/agents/{agent_id}", tags=["agents"], summary="Remove an agent")
def delete_agent(request: HttpRequest, agent_id: UUID) -> dict[str, Any]:
    """Deregister an idle agent; 409 while it has work or is reserved."""
    return {"id": remove_agent(agent_id, now=now_utc()) and agent_id.hex, "removed": True}


@router.get("/attempts", tags=["tasks"], summary="List this node's runs")
def list_attempts(request: HttpRequest, query: Query[AttemptQuery]) -> dict[str, Any]:
    """Runs of tasks by this node's agents, for itself and for other nodes, newest first."""
    rows = Attempt.objects.select_related("agent")
    if query.status:
        rows = rows.filter(status=query.status)
    return paginate(rows, query, order="-created_at", describe=describe_attempt)
