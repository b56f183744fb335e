"""Answers of people on their way into the terminals of the agents that asked."""

from __future__ import annotations

from datetime import datetime

from swarm.agents.adapters import tool_named
from swarm.agents.models import Delivery, DeliveryKind
from swarm.models import Attempt
from swarm.services.asking import note_answer_delivered, note_sign_of_life
from swarm.services.deliveries import queue_delivery
from swarm.states import DeliveryStatus


def carry(attempt: Attempt, text: str, now: datetime) -> None:
    """Have an answer typed to the agent; one whose tool takes no text fetches it over MCP."""
    agent = attempt.agent
    if agent is not None and tool_named(agent.tool).deliver == "prompt":
        queue_delivery(agent, DeliveryKind.ANSWER, text, now, attempt=attempt)


def on_delivery(delivery: Delivery, now: datetime) -> None:
    """Note with the attempt how far its answer has come."""
    if delivery.kind != DeliveryKind.ANSWER or delivery.attempt_id is None:
        return
    if delivery.status in (DeliveryStatus.TYPED, DeliveryStatus.ACKNOWLEDGED):
        note_answer_delivered(delivery.attempt_id, now=now)
    if delivery.status == DeliveryStatus.ACKNOWLEDGED:
        note_sign_of_life(delivery.attempt_id, now=now)
