"""Commands between two members: repeated until they are answered, carried out once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tests.simulation.election.rows import Command

if TYPE_CHECKING:
    from tests.simulation.election.member import Member


class Commands:
    """Outbox and inbox of one member."""

    def __init__(self, member: Member) -> None:
        """Take whose they are."""
        self._member, self._disk = member, member.disk

    def send(self, target: int, kind: str, *content: Any, ends_s: float = math.inf) -> None:
        """Give a command to a member, this one included."""
        if target == self._member.number:
            self._on_answered(target, kind, content, self._carry_out(target, kind, content))
            return
        command = Command(self._disk.next_seq(), target, kind, content, ends_s)
        self._disk.outbox[command.id] = command
        self._member.send(target, "command", command)

    def repeat(self) -> None:
        """Send again what was not answered; forget what is too old."""
        for command in list(self._disk.outbox.values()):
            if command.ends_s < self._member.world.timeline.now_s:
                del self._disk.outbox[command.id]
            else:
                self._member.send(command.target, "command", command)

    def take(self, origin: int, command: Command) -> None:
        """Carry out what another member asks, or answer again what was answered."""
        seen = self._disk.inbox.get((origin, command.id))
        if seen is None:
            seen = self._carry_out(origin, command.kind, command.content)
            self._disk.inbox[origin, command.id] = seen
        self._member.send(origin, "answer", self._member.number, command.id, seen)

    def on_answer(self, origin: int, command_id: int, answer: str) -> None:
        """Close a command that was answered."""
        command = self._disk.outbox.pop(command_id, None)
        if command is not None:
            self._on_answered(origin, command.kind, command.content, answer)

    def close_reports_to(self, target: int) -> None:
        """Drop what is still to be reported to a member that is not emperor any more."""
        for command in list(self._disk.outbox.values()):
            if command.target == target and command.kind != "assign":
                del self._disk.outbox[command.id]

    def close_assignments(self) -> None:
        """Drop dispatches that were not answered: this member is emperor no more."""
        for command in list(self._disk.outbox.values()):
            if command.kind == "assign":
                del self._disk.outbox[command.id]

    def _carry_out(self, origin: int, kind: str, content: tuple[Any, ...]) -> str:
        member = self._member
        match kind:
            case "assign":
                return member.worker.on_assign(origin, *content)
            case "claim":
                return member.office.on_claim(origin, *content)
            case "complete":
                return member.office.on_complete(origin, *content)
        return member.office.on_fail(origin, *content)

    def _on_answered(self, origin: int, kind: str, content: tuple[Any, ...], answer: str) -> None:
        if kind == "assign" and answer != "ok":
            _, task, generation = content
            self._member.office.hand_back(origin, task, generation)
