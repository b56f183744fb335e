"""Reports of hired runs whose task another emperor moves now: handed on as they were signed.

A seller reports to who pays it. That node stays the payer when it is emperor no more, and the new
emperor takes the seller's own signed words, whoever hands them on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from p2p import outbox
from p2p.local import local_node
from p2p.protocol.codec import Received
from p2p.protocol.errors import DomainError, ProtocolError
from p2p.protocol.limits import REPORT_FRAME_BYTES_MAX
from p2p.protocol.signing import open_sealed
from p2p.registration import registry
from swarm.messages import TaskClaim, TaskComplete, TaskFail, TaskHandOn, TaskProgress
from swarm.models import Task
from swarm.replication import terms
from swarm.services.goals import get_task

HandedOn = TaskClaim | TaskProgress | TaskComplete | TaskFail
Handler = Callable[[Received[Any], datetime], None]


def left_task(command: HandedOn) -> Task | None:
    """Return the task of a hired run's report as this node left it to another emperor, if it did.

    Only the run that was under way then counts: its executor, its generation, its tribute.
    """
    return Task.with_released.filter(
        id=UUID(command.task_id),
        released_at__isnull=False,
        tribute_id__isnull=False,
        assigned_node=command.origin,
        generation=command.generation,
    ).first()


def hand_on(frame: bytes, now: datetime) -> None:
    """Send a seller's signed report to the emperor, where there is another one."""
    emperor = terms.highest_term()
    if emperor is None or emperor.node_id == local_node().node_id:
        return
    if len(frame) <= REPORT_FRAME_BYTES_MAX:
        outbox.send_command(
            TaskHandOn,
            to_node_id=emperor.node_id,
            now=now,
            expires_in_s=None,
            report=frame.decode(),
        )


def is_handed_on(received: Received[Any], now: datetime) -> bool:
    """Hand a report on where its task was left to another emperor; False for all others."""
    if left_task(received.message) is None:
        return False
    hand_on(received.raw, now)
    return True


def take_handed_on(
    received: Received[TaskHandOn], handlers: dict[type, Handler], now: datetime
) -> None:
    """Apply a report that another node was given, as if it had come from its author.

    DomainError `bad_report` unless it is the signed report, to that node, of a hired run.
    """
    frame = received.message.report.encode()
    try:
        report = open_sealed(frame, local_node().network, registry)
    except ProtocolError as error:
        raise DomainError("bad_report", str(error)) from error
    handler = handlers.get(type(report.message))
    if handler is None or getattr(report.message, "to", "") != received.message.origin:
        raise DomainError("bad_report", "it is no report to the node that hands it on")
    task = get_task(UUID(report.message.task_id))
    if task.tribute_id is None:
        raise DomainError("bad_report", f"task {task.id} is done by members: they report to us")
    handler(report, now)
