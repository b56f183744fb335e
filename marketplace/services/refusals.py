"""What was refused to other nodes under the marketplace's rules: kept for the operator, bounded."""

from __future__ import annotations

from datetime import datetime

from marketplace.models import Refusal
from p2p.protocol.codec import Received
from p2p.protocol.errors import DomainError
from p2p.protocol.messages import Command
from swarm.messages import TaskAssign, TaskComplete

KEPT = 1000


def note_command(received: Received[Command], code: str, words: str, now: datetime) -> None:
    """Keep that a command of the marketplace, or a report of hired work, was refused."""
    command = received.message
    sold = type(command).__module__ == "marketplace.messages"
    if sold or isinstance(command, TaskComplete):
        note(command, code, words, now)


def note_assignment(command: TaskAssign, refusal: DomainError, now: datetime) -> None:
    """Keep that an assignment under a tribute was refused; it is answered with TASK_FAIL."""
    if command.tribute_id is not None:
        note(command, refusal.code, str(refusal), now)


def note(command: Command, code: str, words: str, now: datetime) -> None:
    """Keep a refusal with the command that was refused, its code and words."""
    row = Refusal.objects.create(
        node_id=command.origin,
        subject=type(command).__name__,
        code=code[:40],
        reason=words[:500],
        at=now,
    )
    Refusal.objects.filter(id__lte=row.id - KEPT).delete()
