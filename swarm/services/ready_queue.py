"""What waits for an agent, in the order in which it should get one, without loading all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from swarm.models import Task
from swarm.queries import busy_goals
from swarm.services.supply import Supply
from swarm.states import TaskStatus

FIRST_LOOK = 20  # rows; the goal of one of them mostly has nobody at work, which decides


class ReadyQueue:
    """The ready subtasks: by priority, then fairness between goals, then age and place in the plan.

    Goals take turns: the one with the fewest subtasks at work comes first, so that none starves
    another.
    """

    def __init__(self) -> None:
        """Look at what is asked for by whatever is ready now."""
        self._needs = set(_ready().values_list("needs", flat=True).distinct())
        self._skipped: set[UUID] = set()

    def next(self, supply: Supply) -> Task | None:
        """Return the first task that finds a place in the supply; None for none."""
        fitting = {needs for needs in self._needs if supply.can(json.loads(needs))}
        found = _ready().exclude(id__in=self._skipped) if self._skipped else _ready()
        if fitting != self._needs:
            found = found.filter(Q(needs__in=fitting) | Q(parent_id__in=supply.hiring))
        first = self._first_of(found) if self._needs else None
        return None if first is None else Task.objects.get(id=first)

    def given(self, task: Task) -> None:
        """Note that a task found its agent: its goal's turn is over."""
        assert task.parent_id is not None
        self._turns[task.parent_id] = self._turns.get(task.parent_id, 0) + 1

    def skip(self, task: Task) -> None:
        """Leave a task out of this round."""
        self._skipped.add(task.id)

    @cached_property
    def _turns(self) -> dict[UUID, int]:
        return busy_goals()

    def _first_of(self, found: QuerySet[Any]) -> UUID | None:
        best: tuple[int, int, UUID] | None = None
        for task_id, goal_id, priority in _in_parts(found):
            if best is not None and priority < best[0]:
                break
            turns = self._turns.get(goal_id, 0)
            if best is None or turns < best[1]:
                best = (priority, turns, task_id)
            if turns == 0:
                break
        return None if best is None else best[2]


def _ready() -> QuerySet[Any]:
    ready = Task.objects.filter(status=TaskStatus.PENDING, parent__isnull=False).order_by()
    return ready.annotate(needs=Cast("required_capabilities", TextField()))


def _in_parts(found: QuerySet[Any]) -> Iterator[tuple[UUID, UUID, int]]:
    """Return task, goal and priority of each in their order; most of them are hardly ever read."""
    ordered = found.order_by("-priority", "created_at", "number")
    rows = ordered.values_list("id", "parent_id", "priority")
    yield from rows[:FIRST_LOOK]
    yield from rows[FIRST_LOOK:]
