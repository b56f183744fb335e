"""Statuses and the one table of allowed moves: who may move a task, an attempt or a job where.

The diagrams in `docs/states.md` are drawn from these tables and every cell of them is tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import TextChoices


class TaskStatus(TextChoices):
    """Where a task is between its goal and its proof."""

    PENDING = "pending"
    BLOCKED = "blocked"
    PLANNING = "planning"
    CLAIMED = "claimed"
    IN_PROGRESS = "in_progress"
    WAITING_INPUT = "waiting_input"
    PENDING_REVIEW = "pending_review"
    MERGING = "merging"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Complexity(TextChoices):
    """How much work a task is thought to be."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    XL = "xl"


class Actor(TextChoices):
    """Who moves a row: the `by` of a move and of a task event."""

    PLANNER = "planner"
    DISPATCHER = "dispatcher"
    REPORT = "report"
    GATE = "gate"
    LEASE = "lease"
    DEPENDENCY = "dependency"
    BUDGET = "budget"
    OPERATOR = "operator"
    ELECTION = "election"


class AttemptStatus(TextChoices):
    """Where one run of a task by one agent is, on the node that runs it."""

    QUEUED = "queued"
    PREPARING = "preparing"
    WORKING = "working"
    PUSHING = "pushing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AgentStatus(TextChoices):
    """What an agent is known to be doing; each with source, rule and age."""

    STARTING = "starting"
    READY = "ready"
    WORKING = "working"
    WAITING_INPUT = "waiting_input"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"
    EXITED = "exited"


class DeliveryStatus(TextChoices):
    """How far a text on its way into an agent's terminal has come."""

    QUEUED = "queued"
    TYPED = "typed"
    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"


class OnBudget(TextChoices):
    """What happens to a task that has used up its budget."""

    STOP = "stop"
    ASK = "ask"


class PlanApproval(TextChoices):
    """Whether a plan is carried out at once, or after its user has approved it."""

    AUTO = "auto"
    APPROVE = "approve"


class TestSource(TextChoices):
    """Who chose a goal's test command; empty while that is not decided."""

    __test__ = False  # not a pytest class

    GOAL = "goal"
    ENVIRONMENT = "environment"
    REPOSITORY = "repository"
    NOBODY = "nobody"


class TestRunState(TextChoices):
    """How far a run of a test command has got; an interrupted one is no result."""

    __test__ = False  # not a pytest class

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"


class JobStatus(TextChoices):
    """Where a job row is; the Celery message is only its nudge."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


TASK_TERMINAL = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})
TASK_WITH_AGENT = frozenset({TaskStatus.CLAIMED, TaskStatus.IN_PROGRESS, TaskStatus.WAITING_INPUT})
ATTEMPT_TERMINAL = frozenset(
    {AttemptStatus.SUCCEEDED, AttemptStatus.FAILED, AttemptStatus.CANCELLED}
)

S = TypeVar("S", bound=TextChoices)


@dataclass(frozen=True)
class Move(Generic[S]):
    """One allowed move, who makes it and why."""

    source: S
    target: S
    by: Actor
    why: str


def _moves(
    sources: tuple[TaskStatus, ...], target: TaskStatus, by: Actor, why: str
) -> tuple[Move[TaskStatus], ...]:
    return tuple(Move(source, target, by, why) for source in sources)


_T = TaskStatus
_HELD = (_T.CLAIMED, _T.IN_PROGRESS, _T.WAITING_INPUT)
_OPEN = tuple(status for status in TaskStatus if status not in TASK_TERMINAL)
_UNMERGED = (_T.BLOCKED, _T.PENDING, *_HELD, _T.PENDING_REVIEW)

TASK_MOVES: tuple[Move[TaskStatus], ...] = (
    *_moves((_T.PLANNING,), _T.IN_PROGRESS, Actor.PLANNER, "the plan is stored"),
    *_moves((_T.PLANNING,), _T.FAILED, Actor.PLANNER, "the goal cannot be planned or prepared"),
    *_moves((_T.BLOCKED,), _T.PENDING, Actor.DEPENDENCY, "every prerequisite is merged"),
    *_moves((_T.BLOCKED, _T.PENDING), _T.FAILED, Actor.DEPENDENCY, "a prerequisite failed"),
    *_moves((_T.PENDING,), _T.CLAIMED, Actor.DISPATCHER, "an agent is assigned"),
    *_moves(
        (_T.PENDING,), _T.CLAIMED, Actor.REPORT, "a run begun under the emperor before goes on"
    ),
    *_moves((_T.CLAIMED, _T.WAITING_INPUT), _T.IN_PROGRESS, Actor.REPORT, "the agent works"),
    *_moves((_T.CLAIMED, _T.IN_PROGRESS), _T.WAITING_INPUT, Actor.REPORT, "the agent asks"),
    *_moves(_HELD, _T.PENDING_REVIEW, Actor.REPORT, "the agent reports a commit"),
    *_moves(_HELD, _T.PENDING, Actor.REPORT, "the run failed or was refused; another follows"),
    *_moves(_HELD, _T.FAILED, Actor.REPORT, "the run failed and no attempt is left"),
    *_moves(_HELD, _T.PENDING, Actor.LEASE, "no sign of life within the lease"),
    *_moves(_HELD, _T.FAILED, Actor.LEASE, "no sign of life and no attempt is left"),
    *_moves(_HELD, _T.FAILED, Actor.BUDGET, "the task has used up its budget"),
    *_moves((_T.CLAIMED, _T.IN_PROGRESS), _T.WAITING_INPUT, Actor.BUDGET, "the operator decides"),
    *_moves((_T.WAITING_INPUT,), _T.PENDING, Actor.BUDGET, "the operator allows more"),
    *_moves((*_HELD, _T.PENDING_REVIEW), _T.PENDING, Actor.OPERATOR, "taken back by the operator"),
    *_moves((_T.PENDING_REVIEW,), _T.MERGING, Actor.GATE, "the remote shows the commit"),
    *_moves((_T.PENDING_REVIEW, _T.MERGING), _T.PENDING, Actor.GATE, "not accepted; rework"),
    *_moves((_T.PENDING_REVIEW, _T.MERGING), _T.FAILED, Actor.GATE, "not accepted; none left"),
    *_moves((_T.MERGING,), _T.COMPLETED, Actor.GATE, "merged, tested and pushed"),
    *_moves(
        _UNMERGED,
        _T.COMPLETED,
        Actor.GATE,
        "its emperor before had merged, tested and pushed it",
    ),
    *_moves((_T.IN_PROGRESS,), _T.MERGING, Actor.GATE, "every subtask is merged"),
    *_moves((_T.IN_PROGRESS,), _T.FAILED, Actor.DEPENDENCY, "a subtask failed"),
    *_moves(_OPEN, _T.CANCELLED, Actor.OPERATOR, "cancelled by the operator"),
    *_moves(_OPEN, _T.CANCELLED, Actor.DEPENDENCY, "its goal ended without it"),
)

_A = AttemptStatus
ATTEMPT_MOVES: tuple[Move[AttemptStatus], ...] = (
    Move(_A.QUEUED, _A.PREPARING, Actor.DISPATCHER, "the worktree is made"),
    Move(_A.PREPARING, _A.WORKING, Actor.DISPATCHER, "the work is typed into the terminal"),
    Move(_A.WORKING, _A.PUSHING, Actor.REPORT, "the agent's program ended well"),
    Move(_A.PUSHING, _A.SUCCEEDED, Actor.REPORT, "the remote shows the commit"),
    Move(_A.PREPARING, _A.SUCCEEDED, Actor.PLANNER, "the agent's plan is stored"),
    Move(_A.WORKING, _A.SUCCEEDED, Actor.PLANNER, "the agent's plan is stored"),
    *(
        Move(source, _A.FAILED, Actor.REPORT, "the run cannot go on")
        for source in (_A.QUEUED, _A.PREPARING, _A.WORKING, _A.PUSHING)
    ),
    *(
        Move(source, _A.CANCELLED, Actor.OPERATOR, "the assigner withdrew the task")
        for source in (_A.QUEUED, _A.PREPARING, _A.WORKING, _A.PUSHING)
    ),
)


def sources_of(moves: tuple[Move[S], ...], target: S, by: Actor) -> frozenset[S]:
    """Return the statuses from which `by` may move a row to `target`; empty when never."""
    return frozenset(move.source for move in moves if move.target == target and move.by == by)
