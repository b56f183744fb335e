"""What waits for an agent, in the order in which it should get one, without loading all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from django.db.models import Min, TextField
from django.db.models.functions import Cast

from swarm.models import Task
from swarm.queries import busy_goals
from swarm.states import TaskStatus

Needs = tuple[str, ...]


@dataclass
class _Group:
    """Ready subtasks of one goal that need the same: who could take one could take any."""

    goal_id: UUID
    priority: int
    needs: Needs
    place: int  # among all groups, by priority, age and place in the plan


class ReadyQueue:
    """The ready subtasks: by priority, then fairness between goals, then age and place in the plan.

    Goals take turns: the one with the fewest subtasks at work comes first, so that none starves
    another.
    """

    def __init__(self) -> None:
        """Look at what is ready now: two queries, however much it is."""
        self._turns = busy_goals()
        self._groups = _groups()
        self._skipped: set[UUID] = set()

    def next(self, fits: Callable[[UUID, Needs], bool]) -> Task | None:
        """Return the first task that `fits(goal id, capabilities)` can place; None for none."""
        wanted = [each for each in self._groups if fits(each.goal_id, each.needs)]
        while wanted:
            group = min(wanted, key=self._rank)
            task = self._first_of(group)
            if task is not None:
                return task
            wanted.remove(group)
            self._groups.remove(group)
        return None

    def given(self, task: Task) -> None:
        """Note that a task found its agent: its goal's turn is over."""
        assert task.parent_id is not None
        self._turns[task.parent_id] = self._turns.get(task.parent_id, 0) + 1

    def skip(self, task: Task) -> None:
        """Leave a task out of this round."""
        self._skipped.add(task.id)

    def _rank(self, group: _Group) -> tuple[int, int, int]:
        return -group.priority, self._turns.get(group.goal_id, 0), group.place

    def _first_of(self, group: _Group) -> Task | None:
        ready = Task.objects.filter(
            parent_id=group.goal_id, status=TaskStatus.PENDING, priority=group.priority
        )
        for task in ready.order_by("created_at", "number"):
            if task.id not in self._skipped and tuple(task.required_capabilities) == group.needs:
                return task
        return None


def _groups() -> list[_Group]:
    ready = Task.objects.filter(status=TaskStatus.PENDING, parent__isnull=False).order_by()
    alike = ready.values("parent_id", "priority", "required_capabilities")
    aged = alike.annotate(oldest_at=Min("created_at"), first_number=Min("number"))
    # Their order is the database's work: reading a thousand dates would cost more than the rest.
    rows = aged.order_by("-priority", "oldest_at", "first_number").values_list(
        "parent_id", "priority", Cast("required_capabilities", TextField())
    )
    return [
        _Group(goal_id, priority, _needs_in(text), place)
        for place, (goal_id, priority, text) in enumerate(rows)
        if goal_id is not None
    ]


@lru_cache(maxsize=1_000)
def _needs_in(text: str) -> Needs:
    return tuple(json.loads(text))
