"""Places for a buyer's ready subtasks under its accepted tributes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from marketplace.models import Execution, Tribute
from marketplace.states import ExecutionStatus, RequeuePolicy, TributeStatus
from p2p.local import local_node
from swarm.hooks import Hire
from swarm.models import Task


def hiring_goals() -> set[UUID]:
    """Return the goals of this node that have an accepted tribute, whether or not it has room."""
    goals = _accepted().filter(goal_id__isnull=False)
    return {goal_id for goal_id in goals.values_list("goal_id", flat=True) if goal_id}


def hire(task: Task, now: datetime) -> Hire | None:
    """Find a place for a ready subtask under an accepted tribute of its goal, and open it.

    Under `accepted_result` a task that goes back to work keeps its execution; under `execution`
    each run needs one of its own, named by the generation that its dispatch is about to get.
    """
    if (covering := _covering(task)) is not None:
        return Hire(node_id=covering.tribute.to_node_id, tribute_id=covering.tribute_id)
    tribute = _tribute_with_room(task, now)
    if tribute is None:
        return None
    per_run = tribute.policy == RequeuePolicy.EXECUTION
    Execution.objects.create(
        tribute=tribute,
        task_id=task.id,
        run=task.generation + 1 if per_run else 1,
        title=task.title,
        opened_at=now,
    )
    return Hire(node_id=tribute.to_node_id, tribute_id=tribute.id)


def tasks_of_strangers(goal_id: UUID) -> set[UUID]:
    """Return the tasks of a goal that were ever hired out to a seller not on the allow-list.

    Also those that another has taken over: an attempt begins where the last one stopped.
    """
    strange = Execution.objects.filter(
        tribute__goal_id=goal_id, tribute__from_node_id=local_node().node_id
    ).exclude(tribute__to_node_id__in=settings.ENVIRONMENT.allow_nodes)
    # What another payer hired, before this node took the goal over, was somebody's as well.
    taken_over = Task.objects.filter(parent_id=goal_id, tribute_id__isnull=False).exclude(
        assigned_node__in=[*settings.ENVIRONMENT.allow_nodes, local_node().node_id]
    )
    return {
        *strange.values_list("task_id", flat=True),
        *taken_over.values_list("id", flat=True),
    }


def _accepted() -> QuerySet[Tribute]:
    return Tribute.objects.filter(status=TributeStatus.ACCEPTED, from_node_id=local_node().node_id)


def _covering(task: Task) -> Execution | None:
    """Return the execution whose price covers another run of the task, if any."""
    return (
        Execution.objects.filter(
            task_id=task.id,
            status=ExecutionStatus.OPEN,
            tribute__status=TributeStatus.ACCEPTED,
            tribute__policy=RequeuePolicy.ACCEPTED_RESULT,
            tribute__from_node_id=local_node().node_id,
        )
        .select_related("tribute")
        .first()
    )


def _tribute_with_room(task: Task, now: datetime) -> Tribute | None:
    # Who has refused or lost this very task does not get it again; one whose run was paid, though
    # its result was not good, may try again under another execution.
    runs = Execution.objects.filter(task_id=task.id)
    lost = runs.exclude(status=ExecutionStatus.ACCEPTED).values("tribute_id")
    paid = runs.filter(tribute__policy=RequeuePolicy.ACCEPTED_RESULT).values("tribute_id")
    candidates = _accepted().filter(goal_id=task.parent_id, work_deadline_at__gt=now)
    unspoilt = candidates.exclude(Q(id__in=lost) | Q(id__in=paid))
    for tribute in unspoilt.order_by("created_at"):
        if _capable(tribute, task) and _room(tribute) > 0:
            return tribute
    return None


def _room(tribute: Tribute) -> int:
    return tribute.task_count - tribute.released_count - tribute.executions.count()


def _capable(tribute: Tribute, task: Task) -> bool:
    return set(task.required_capabilities) <= set(tribute.capabilities)
