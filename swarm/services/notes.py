"""The architecture notes of a goal, as each of its agents gets them."""

from __future__ import annotations

from p2p.protocol.limits import BODY_CHARS_MAX
from swarm.models import Task

HEADING = "## Notes for every subtask of this goal"


def instructions_for(task: Task) -> str:
    """Return a subtask's instructions with the notes of its goal, where there are any."""
    notes = task.parent.notes if task.parent is not None else ""
    if not notes:
        return task.instructions
    told = f"{task.instructions}\n\n{HEADING}\n\n{notes}".lstrip()
    return told if len(told) <= BODY_CHARS_MAX else task.instructions
