"""An agent close up: its state with all evidence, its texts, and its live terminal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError, ExternalError
from swarm.agent_views import what_would_change
from swarm.agents import dialogs, prompt_run
from swarm.agents.adapters import tool_named
from swarm.agents.deregistering import deregister
from swarm.agents.models import DeliveryKind
from swarm.agents.sockets import socket_name
from swarm.agents.tmux import TmuxServer
from swarm.budgets.pauses import pause_agent, resume_agent
from swarm.models import Agent
from swarm.services import agents, deliveries
from voidlux_site.dashboard.answers import refusals_shown, saved, staff_only
from voidlux_site.dashboard.parts import node_context

TERMINAL_LINES = 200
DELIVERIES_SHOWN = 8
PAUSE_HOURS = ("1", "24")  # as the buttons of its dialog offer
PAUSE_REASON = "by the operator"
_AGENT_PARTS = ("agents", "attention", "waiting", "agent-facts")

Context = dict[str, Any]


@dataclass(frozen=True)
class Considered:
    """One piece of evidence of the last judgement."""

    source: str
    state: str
    rule: str
    text: str
    at: datetime


@require_GET
@staff_only
@refusals_shown
def show(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """Show an agent's dialog: facts that refresh themselves, and the terminal."""
    agent = agents.get_agent(agent_id)
    context = {**facts_of(agent, now_utc()), "output": _screen_of(agent)}
    return render(request, "dashboard/details/agent.html", context)


@require_GET
@staff_only
@refusals_shown
def facts(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """Show the inside of an agent's facts."""
    context = facts_of(agents.get_agent(agent_id), now_utc())
    return render(request, "dashboard/details/agent_facts.html", context)


@require_POST
@staff_only
@refusals_shown
def send(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """Queue a text for an agent."""
    agent = agents.get_agent(agent_id)
    text = request.POST.get("text", "")
    deliveries.queue_delivery(agent, DeliveryKind.SEND, text, now_utc(), attempt=agent.attempt)
    return saved(f"The text for {agent.name} is queued", *_AGENT_PARTS, stay=True)


@require_POST
@staff_only
@refusals_shown
def choose(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """Press the keys of a choice of the open dialog."""
    agent = agents.get_agent(agent_id)
    dialogs.answer(
        agent,
        dialog_name=request.POST.get("dialog", ""),
        dialog_id=request.POST.get("id", ""),
        choice_name=request.POST.get("choice", ""),
    )
    return saved(f"{agent.name} has the answer", *_AGENT_PARTS, stay=True)


@require_POST
@staff_only
@refusals_shown
def interrupt(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """Press the keys that interrupt the agent's tool."""
    agent = agents.get_agent(agent_id)
    prompt_run.interrupt(agent)
    return saved(f"{agent.name} is interrupted", *_AGENT_PARTS, stay=True)


@require_POST
@staff_only
@refusals_shown
def restart(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """Let an exited agent start anew."""
    agent = agents.restart_agent(agent_id, now=now_utc())
    return saved(f"{agent.name} starts anew", *_AGENT_PARTS, stay=True)


@require_POST
@staff_only
@refusals_shown
def pause(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """Give an agent no new work for some hours; its present run goes on."""
    hours = request.POST.get("hours", "")
    if hours not in PAUSE_HOURS:
        allowed = ", ".join(PAUSE_HOURS)
        raise DomainError(
            "bad_pause", f"a pause of {hours[:20]!r} hours: {allowed} are allowed", 422
        )
    now = now_utc()
    until = now + timedelta(hours=int(hours))
    agent = pause_agent(agent_id, until=until, reason=PAUSE_REASON, now=now)
    return saved(f"{agent.name} is paused", *_AGENT_PARTS, stay=True)


@require_POST
@staff_only
@refusals_shown
def resume(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """End an agent's pause."""
    agent = resume_agent(agent_id, now=now_utc())
    return saved(f"{agent.name} takes work again", *_AGENT_PARTS, stay=True)


@require_POST
@staff_only
@refusals_shown
def remove(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """Deregister an agent; with `force` also one with work, which goes back to the queue."""
    agent = deregister(agent_id, force=bool(request.POST.get("force")), now=now_utc())
    return saved(f"{agent.name} is removed", "agents", "offerings", "attention", "waiting", "tasks")


@require_POST
@staff_only
@refusals_shown
def retry(request: HttpRequest, delivery_id: UUID) -> HttpResponse:
    """Queue a stalled text anew."""
    deliveries.try_again(delivery_id, now=now_utc())
    return saved("The text is tried again", *_AGENT_PARTS, stay=True)


def facts_of(agent: Agent, now: datetime) -> Context:
    """Return the context of an agent's facts."""
    return {
        **node_context(now),
        "agent": agent,
        "takes_text": _takes_text(agent),
        "considered": [_considered(each) for each in agent.considered],
        "would_change": what_would_change(agent),
        "deliveries": agent.deliveries.order_by("-queued_at")[:DELIVERIES_SHOWN],
    }


def _considered(stored: dict[str, Any]) -> Considered:
    return Considered(
        source=stored["source"],
        state=stored["state"],
        rule=stored["rule"],
        text=stored["text"],
        at=datetime.fromisoformat(stored["at"]),
    )


def _takes_text(agent: Agent) -> bool:
    try:
        return tool_named(agent.tool).deliver == "prompt"
    except DomainError:
        return False  # its file is gone


def _screen_of(agent: Agent) -> str:
    try:
        return TmuxServer(socket_name()).capture(agent.session, TERMINAL_LINES, coloured=True)
    except (DomainError, ExternalError):
        return ""
