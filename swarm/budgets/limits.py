"""The limits of a task: its own, or where it has none those of its goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swarm.budgets.money import micros_of
from swarm.models import Task
from swarm.states import OnBudget

TASK_BUDGET = "task_budget"  # why a run was interrupted: its task's limit
AGENT_BUDGET = "agent_budget"  # or that of its agent's day


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a task, or each subtask of a goal, may use; None for no limit of its own."""

    time_limit_s: int | None = None
    token_limit: int | None = None
    cost_limit_usd: float | None = None
    on_budget: str = ""


NO_LIMITS = Limits()


def columns_of(limits: Limits) -> dict[str, Any]:
    """Return limits as columns of a task; DomainError for what is no amount of money."""
    cost = limits.cost_limit_usd
    return {
        "time_limit_s": limits.time_limit_s,
        "token_limit": limits.token_limit,
        "cost_limit_micros": None if cost is None else micros_of(cost),
        "on_budget": limits.on_budget,
    }


def limit_of(task: Task, name: str) -> int | None:
    """Return a limit of a task by its column's name; None for none."""
    own: int | None = getattr(task, name)
    if own is None and task.parent is not None:
        return getattr(task.parent, name)
    return own


def on_budget_of(task: Task) -> OnBudget:
    """Return what happens to a task at its limit; it ends where nobody said otherwise."""
    goals = task.parent.on_budget if task.parent is not None else ""
    return OnBudget(task.on_budget or goals or OnBudget.STOP)
