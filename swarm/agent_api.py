"""Agents over REST: registered, explained, talked to, restarted and removed."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict

from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate, paginate_together
from swarm.agent_views import explain_agent, wellness
from swarm.agents import capacity, dialogs, prompt_run
from swarm.agents.adapters import all_tools
from swarm.agents.deregistering import deregister
from swarm.agents.models import Delivery, DeliveryKind
from swarm.agents.sockets import socket_name
from swarm.agents.tmux import TmuxServer
from swarm.models import Agent, RemoteAgent
from swarm.queries import describe_agent
from swarm.replication.agents import describe_remote
from swarm.replication.pulses import silences_s
from swarm.services import agents, deliveries

OUTPUT_LINES_MAX = 5_000

router = Router(tags=["agents"])

Tool = Annotated[str, Field(min_length=1, max_length=32)]
Capabilities = Annotated[list[str], Field(max_length=32)]
Model = Annotated[str, Field(max_length=100, description="Given to the tool where it takes one.")]


class _Body(Schema):
    model_config = ConfigDict(extra="forbid")


class AgentIn(_Body):
    """An agent to register."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    tool: Tool = "shell"
    capabilities: Capabilities = []
    model: Model = ""


class AgentsIn(_Body):
    """Agents to register at once; each is named by the prefix and a number."""

    count: Annotated[int, Field(ge=1, le=agents.AGENTS_MAX)]
    prefix: Annotated[str, Field(min_length=1, max_length=60)]
    tool: Tool = "shell"
    capabilities: Capabilities = []
    model: Model = ""


class TextIn(_Body):
    """A text to type to an agent."""

    text: Annotated[str, Field(min_length=1, max_length=1_000_000)]


class ChoiceIn(_Body):
    """The answer to an agent's open dialog, by its name and `id`: a name from its `choices`."""

    dialog: Annotated[str, Field(min_length=1, max_length=32)]
    id: Annotated[str, Field(min_length=1, max_length=32)]
    choice: Annotated[str, Field(min_length=1, max_length=32)]


@router.get("/agents", summary="List agents")
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


@router.post("/agents", summary="Register an agent", response={201: dict})
def add_agent(request: HttpRequest, agent: AgentIn) -> Status[dict[str, Any]]:
    """Register an agent; its terminal session is started by the node."""
    created = agents.register_agent(**agent.dict(), now=now_utc())
    return Status(201, describe_agent(created))


@router.post("/agents/bulk", summary="Register several agents", response={201: dict})
def add_agents(request: HttpRequest, body: AgentsIn) -> Status[dict[str, Any]]:
    """Register all of them or none, with the lowest numbers whose names are free."""
    created = agents.register_agents(**body.dict(), now=now_utc())
    return Status(201, {"items": [describe_agent(agent) for agent in created]})


@router.get("/agents/wellness", summary="Show who is stuck and why")
def show_wellness(request: HttpRequest) -> dict[str, Any]:
    """Agents that need a person, and the caps of this node."""
    return {**wellness(now_utc()), "capacity": capacity.describe_capacity()}


@router.get("/agents/tools", summary="List the tools that agents can run")
def list_tools(request: HttpRequest) -> dict[str, Any]:
    """The tools of this node, the operator's own among them."""
    tools = sorted(all_tools().values(), key=lambda tool: tool.name)
    return {
        "items": [
            {
                "name": tool.name,
                "title": tool.title or tool.name,
                "deliver": tool.deliver,
                "takes_model": bool(tool.model),
                "max_concurrent_tasks": tool.max_concurrent_tasks,
            }
            for tool in tools
        ]
    }


@router.get("/agents/{agent_id}", summary="Show an agent")
def show_agent(request: HttpRequest, agent_id: UUID) -> dict[str, Any]:
    """One agent with the evidence of its state, of this node or of another member."""
    remote = RemoteAgent.objects.filter(id=agent_id).first()
    if remote is not None:
        return describe_remote(remote, silent_s=silences_s(now_utc()).get(remote.node_id))
    return describe_agent(agents.get_agent(agent_id))


@router.get("/agents/{agent_id}/explain", summary="Explain an agent's state")
def explain(request: HttpRequest, agent_id: UUID) -> dict[str, Any]:
    """All evidence that was considered, how old it is (seconds), and what would change it."""
    return explain_agent(agents.get_agent(agent_id), now_utc())


@router.get("/agents/{agent_id}/output", summary="Show an agent's terminal")
def show_output(
    request: HttpRequest,
    agent_id: UUID,
    lines: Annotated[int, Field(ge=1, le=OUTPUT_LINES_MAX)] = 50,
) -> dict[str, Any]:
    """The last lines of the agent's screen and history as plain text."""
    agent = agents.get_agent(agent_id)
    text = TmuxServer(socket_name()).capture(agent.session, lines)
    return {"agent_id": agent.id.hex, "session": agent.session, "lines": lines, "output": text}


@router.post("/agents/{agent_id}/send", summary="Send an agent a text", response={202: dict})
def send(request: HttpRequest, agent_id: UUID, body: TextIn) -> Status[dict[str, Any]]:
    """Queue a text; it is typed when the agent can take it, and never into a dialog."""
    agent = agents.get_agent(agent_id)
    delivery = deliveries.queue_delivery(
        agent, DeliveryKind.SEND, body.text, now_utc(), attempt=agent.attempt
    )
    return Status(202, deliveries.describe_delivery(delivery))


@router.get("/agents/{agent_id}/deliveries", summary="List texts for an agent")
def list_deliveries(request: HttpRequest, agent_id: UUID, page: Query[PageQuery]) -> dict[str, Any]:
    """How far each text has come, newest first."""
    rows = Delivery.objects.filter(agent=agents.get_agent(agent_id))
    return paginate(rows, page, order="-queued_at", describe=deliveries.describe_delivery)


@router.post("/deliveries/{delivery_id}/retry", summary="Try a stalled text again")
def retry(request: HttpRequest, delivery_id: UUID) -> dict[str, Any]:
    """Queue a stalled text anew; 409 when it is not stalled."""
    return deliveries.describe_delivery(deliveries.try_again(delivery_id, now=now_utc()))


@router.post("/agents/{agent_id}/dialog", summary="Answer an agent's open dialog")
def answer_dialog(request: HttpRequest, agent_id: UUID, body: ChoiceIn) -> dict[str, Any]:
    """Press the keys of a choice, if that very dialog is still on the screen; 409 otherwise.

    `id` is the dialog's own: `dialog_changed` says that one of its kind asks something else now.

    `closed` tells whether it was gone within 3 seconds.
    """
    agent = agents.get_agent(agent_id)
    closed = dialogs.answer(
        agent, dialog_name=body.dialog, dialog_id=body.id, choice_name=body.choice
    )
    return {
        "agent_id": agent.id.hex,
        "dialog": body.dialog,
        "choice": body.choice,
        "closed": closed,
    }


@router.post("/agents/{agent_id}/done", summary="Claim an agent's task as done")
def claim_for(request: HttpRequest, agent_id: UUID) -> dict[str, Any]:
    """Say for a tool that knows no MCP that its run is done; the commit is verified as ever."""
    return describe_agent(agents.claim_for(agent_id, now=now_utc()))


@router.post("/agents/{agent_id}/watch", summary="Follow an agent's screen")
def watch(request: HttpRequest, agent_id: UUID) -> dict[str, Any]:
    """Let the agent's screen be sent over the WebSocket for the next 30 seconds."""
    agents.watch_agent(agents.get_agent(agent_id).id, now=now_utc())
    return {"agent_id": agent_id.hex, "watched_s": agents.WATCH_S}


@router.post("/agents/{agent_id}/interrupt", summary="Interrupt an agent's tool")
def interrupt(request: HttpRequest, agent_id: UUID) -> dict[str, Any]:
    """Press the keys that interrupt its tool; 409 where no program runs. Its run goes on."""
    agent = agents.get_agent(agent_id)
    prompt_run.interrupt(agent)
    return describe_agent(agent)


@router.post("/agents/{agent_id}/restart", summary="Restart an agent that has exited")
def restart(request: HttpRequest, agent_id: UUID) -> dict[str, Any]:
    """Forget its crashes and start it anew; 409 while it has work."""
    return describe_agent(agents.restart_agent(agent_id, now=now_utc()))


@router.delete("/agents/{agent_id}", summary="Remove an agent")
def delete_agent(request: HttpRequest, agent_id: UUID, force: bool = False) -> dict[str, Any]:
    """Deregister an agent and end its session; 409 while it has work, unless forced.

    Forced, its run ends first: the task goes back with the reason, its commits are kept.
    """
    deregister(agent_id, force=force, now=now_utc())
    return {"id": agent_id.hex, "removed": True}
