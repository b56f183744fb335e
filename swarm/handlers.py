"""One service call for each of the swarm's messages."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from p2p.models import OutboxMessage
from p2p.protocol.codec import Received
from p2p.registration import registry
from swarm import hooks
from swarm.messages import (
    TaskAnswer,
    TaskAssign,
    TaskClaim,
    TaskComplete,
    TaskFail,
    TaskHandOn,
    TaskProgress,
    TaskQuestion,
    TaskResume,
    TaskWithdraw,
)
from swarm.models import Task
from swarm.replication import heartbeats, pulses
from swarm.replication.messages import AgentHeartbeat, CensusRequest
from swarm.services import admissions, answering, asking, handing_on, reports
from swarm.services.attempts import note_report_refused
from swarm.states import TASK_WITH_AGENT


def on_task_assign(received: Received[TaskAssign], now: datetime) -> None:
    """Start the work with the agent that was named or reserved and claim it, or say why not."""
    admissions.take_assignment(received.message, now)


def on_task_claim(received: Received[TaskClaim], now: datetime) -> None:
    """Note who took the task."""
    if handing_on.is_handed_on(received, now):
        return
    command = received.message
    reports.apply_claim(
        UUID(command.task_id),
        generation=command.generation,
        from_node_id=command.origin,
        agent_id=UUID(command.agent_id),
        agent_name=command.agent_name,
        branch=command.git_branch,
        now=now,
    )


def on_task_progress(received: Received[TaskProgress], now: datetime) -> None:
    """Take a sign of life."""
    if handing_on.is_handed_on(received, now):
        return
    command = received.message
    reports.apply_progress(
        UUID(command.task_id),
        generation=command.generation,
        from_node_id=command.origin,
        progress=command.progress[: reports.PROGRESS_CHARS_MAX],
        now=now,
    )


def on_task_complete(received: Received[TaskComplete], now: datetime) -> None:
    """Take note of a reported commit."""
    command = received.message
    if hooks.report_is_taken(received, now):
        return
    reports.apply_completion(
        UUID(command.task_id),
        generation=command.generation,
        from_node_id=command.origin,
        branch=command.git_branch,
        commit=command.commit,
        result=command.result,
        now=now,
    )


def on_task_fail(received: Received[TaskFail], now: datetime) -> None:
    """Requeue or fail the task."""
    if handing_on.is_handed_on(received, now):
        return
    command = received.message
    reports.apply_failure(
        UUID(command.task_id),
        generation=command.generation,
        from_node_id=command.origin,
        code=command.code,
        error=command.error,
        branch=command.git_branch,
        now=now,
    )


def on_task_question(received: Received[TaskQuestion], now: datetime) -> None:
    """Show the question of an agent that works for us elsewhere."""
    command = received.message
    answering.apply_question(
        UUID(command.task_id),
        generation=command.generation,
        from_node_id=command.origin,
        number=command.number,
        question=command.question,
        choices=command.choices,
        now=now,
    )


def on_task_answer(received: Received[TaskAnswer], now: datetime) -> None:
    """Hand an assigner's answer to the agent that asked."""
    command = received.message
    asking.take_answer(
        UUID(command.task_id),
        assigner_node_id=command.origin,
        generation=command.generation,
        number=command.number,
        answer=command.answer,
        now=now,
    )


def on_task_resume(received: Received[TaskResume], now: datetime) -> None:
    """Note that an agent goes on after its answer."""
    command = received.message
    answering.apply_resumption(
        UUID(command.task_id),
        generation=command.generation,
        from_node_id=command.origin,
        number=command.number,
        now=now,
    )


def on_answer_answered(
    row: OutboxMessage, accepted: bool, code: str, detail: str, now: datetime
) -> None:
    """Ask the operator again when the executor did not take the answer."""
    if not accepted:
        command: TaskAnswer = registry.decode(bytes(row.frame))  # type: ignore[assignment]
        answering.reopen_question(
            UUID(command.task_id),
            generation=command.generation,
            number=command.number,
            detail=detail or code,
            now=now,
        )


def on_assign_answered(
    row: OutboxMessage, accepted: bool, code: str, detail: str, now: datetime
) -> None:
    """Take a task back when its assignment was refused or never answered."""
    if accepted:
        return
    command: TaskAssign = registry.decode(bytes(row.frame))  # type: ignore[assignment]
    task = Task.objects.filter(
        id=UUID(command.task.id), generation=command.generation, status__in=TASK_WITH_AGENT
    ).first()
    if task is None or (code == "expired" and task.git_branch):
        return  # a claim is an answer as well, though the ACK was lost
    reports.hand_back(
        task, reason=f"{row.to_node_id[:8]} did not take it: {detail or code}", now=now
    )


def on_report_answered(
    row: OutboxMessage, accepted: bool, code: str, detail: str, now: datetime
) -> None:
    """Keep why an assigner did not want a completion."""
    if not accepted:
        command: TaskComplete = registry.decode(bytes(row.frame))  # type: ignore[assignment]
        note_report_refused(
            UUID(command.task_id),
            assigner_node_id=row.to_node_id,
            generation=command.generation,
            detail=detail or code,
        )


def on_task_withdraw(received: Received[TaskWithdraw], now: datetime) -> None:
    """Stop the runs of a dispatch that its assigner has taken back."""
    command = received.message
    admissions.take_withdrawal(
        UUID(command.task_id),
        generation=command.generation,
        from_node_id=command.origin,
        reason=command.reason,
        now=now,
    )


def on_task_hand_on(received: Received[TaskHandOn], now: datetime) -> None:
    """Take a seller's report from the node that pays it."""
    handlers: dict[type, handing_on.Handler] = {
        TaskClaim: on_task_claim,
        TaskProgress: on_task_progress,
        TaskComplete: on_task_complete,
        TaskFail: on_task_fail,
    }
    handing_on.take_handed_on(received, handlers, now)


def on_agent_heartbeat(received: Received[AgentHeartbeat], now: datetime) -> None:
    """Take a member's sign of life."""
    pulses.take_heartbeat(received.message, now)


def on_census_request(received: Received[CensusRequest], now: datetime) -> None:
    """Tell of this node's agents anew."""
    heartbeats.answer_census(received.message, now)
