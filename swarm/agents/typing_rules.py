"""What to do next with a text for an agent: pure, (delivery, what is seen, now) -> step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from swarm.states import AgentStatus, DeliveryStatus

TRIES_MAX = 3
ACKNOWLEDGE_WAIT_S = 5.0
READY_TO_TYPE = frozenset({AgentStatus.READY, AgentStatus.WAITING_INPUT})


class StepKind(StrEnum):
    """What is to be done now."""

    WAIT = "wait"
    TYPE = "type"
    SUBMIT = "submit"
    ACKNOWLEDGE = "acknowledge"
    STALL = "stall"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done, and why, in words for people."""

    kind: StepKind
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """How far a delivery has come."""

    status: DeliveryStatus
    tries: int
    typed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSeen:
    """What is known of the agent: its state with its evidence, and whether the text is shown.

    `exhausted` says that its tool answers that its usage window is exhausted.
    """

    state: AgentStatus
    source: str
    evidence: str
    since: datetime
    text_shown: bool = False
    exhausted: bool = False


def next_step(delivery: Pending, agent: AgentSeen, now: datetime) -> Step:
    """Return the next step of an open delivery; typing into anything but a prompt is none."""
    if agent.state == AgentStatus.EXITED:
        return Step(StepKind.FAIL, f"the tool has ended: {agent.evidence}")
    if delivery.status == DeliveryStatus.QUEUED:
        return _of_queued(delivery, agent)
    return _of_typed(delivery, agent, now)


def _of_queued(delivery: Pending, agent: AgentSeen) -> Step:
    if agent.state not in READY_TO_TYPE:
        return Step(StepKind.WAIT, f"the agent is {agent.state}: {agent.evidence}")
    if delivery.tries >= TRIES_MAX:
        return Step(StepKind.STALL, f"typed {delivery.tries} times and never seen to arrive")
    return Step(StepKind.TYPE, agent.evidence)


def _of_typed(delivery: Pending, agent: AgentSeen, now: datetime) -> Step:
    assert delivery.typed_at is not None
    if agent.state == AgentStatus.WORKING and agent.since >= delivery.typed_at:
        return Step(StepKind.ACKNOWLEDGE, f"{agent.source}: {agent.evidence}")
    if agent.source in ("mcp", "hook") and agent.since >= delivery.typed_at:
        return Step(StepKind.ACKNOWLEDGE, f"{agent.source}: {agent.evidence}")
    if agent.exhausted and not agent.text_shown:
        return Step(StepKind.ACKNOWLEDGE, f"the tool has taken it and says: {agent.evidence}")
    if agent.state not in READY_TO_TYPE:
        return Step(StepKind.WAIT, f"the agent is {agent.state}: {agent.evidence}")
    if not agent.text_shown:
        # It was seen in the input box before it was sent off: the tool has taken it from there.
        return Step(StepKind.ACKNOWLEDGE, "the input box was emptied by the submit key")
    if now - delivery.typed_at < timedelta(seconds=ACKNOWLEDGE_WAIT_S):
        return Step(StepKind.WAIT, "sent off, not yet seen to start")
    if delivery.tries >= TRIES_MAX:
        return Step(StepKind.STALL, f"sent off {delivery.tries} times and never seen to start")
    return Step(StepKind.SUBMIT, "the text is still in the input box")
