"""Overlap: what work that is under way in the same repository may meet, said before it is hired.

A warning and no lock: work that overlaps often merges, and the gate decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from swarm.models import Task
from swarm.states import TASK_WITH_AGENT, TaskStatus

UNDER_WAY = frozenset({*TASK_WITH_AGENT, TaskStatus.PENDING_REVIEW, TaskStatus.MERGING})
LOOKED_AT_MAX = 100  # tasks under way in one repository
PATHS_SHOWN = 5
TEXT_CHARS_MAX = 20_000

# Words with a folder, or with a stem of two characters and an extension: `src/app`, `calc.py`.
_PATH = re.compile(
    r"(?<![\w./:@-])(?:(?:[\w.-]+/)+[\w.-]+|[\w-]{2}[\w.-]*\.[A-Za-z]\w{0,7})(?![\w/])"
)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Another task under way, and the paths that both are about."""

    task: Task
    paths: list[str]

    def __str__(self) -> str:
        more = f" and {len(self.paths) - PATHS_SHOWN} more" if len(self.paths) > PATHS_SHOWN else ""
        return f"{self.task.title!r} in {', '.join(self.paths[:PATHS_SHOWN])}{more}"

    def as_evidence(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return {"task_id": self.task.id.hex, "paths": self.paths[:PATHS_SHOWN]}


def named_paths(text: str) -> frozenset[str]:
    """Return the words of a text that look like paths of files, without a leading `./`."""
    found = _PATH.findall(text[:TEXT_CHARS_MAX])
    return frozenset(word.removeprefix("./").rstrip(".") for word in found)


def paths_of(task: Task) -> frozenset[str]:
    """Return the paths that a task is about: those it changed before, else those it names."""
    if task.changed_paths:
        return frozenset(task.changed_paths)
    return named_paths("\n".join((task.title, task.instructions, task.shell)))


def overlaps_of(task: Task) -> list[Overlap]:
    """Return the tasks under way in the task's repository that are about the same paths."""
    about = paths_of(task)
    if not about:
        return []
    beside = Task.objects.filter(
        repository=task.repository, parent__isnull=False, status__in=UNDER_WAY
    ).exclude(id=task.id)
    found = ((other, about & paths_of(other)) for other in beside[:LOOKED_AT_MAX])
    return [Overlap(other, sorted(shared)) for other, shared in found if shared]


def warning(overlaps: list[Overlap]) -> str:
    """Return the overlaps as the end of a sentence; empty where there are none."""
    if not overlaps:
        return ""
    more = f" and {len(overlaps) - 1} more" if len(overlaps) > 1 else ""
    return f"; may meet {overlaps[0]}{more}"
