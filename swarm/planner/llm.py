"""The language model as planner: one question for the plan, one for the notes, no tool at all."""

from __future__ import annotations

import logging
from collections.abc import Callable

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.protocol.errors import DomainError, ExternalError
from swarm.errors import WrongState
from swarm.git.repository import Repository
from swarm.llm.asking import Question, ask
from swarm.llm.fences import Fence
from swarm.llm.models import LlmPurpose
from swarm.llm.providers import model_for
from swarm.models import Attempt, Task
from swarm.plan import PlannedSubtask
from swarm.planner.context import RepositoryContext
from swarm.planner.crew import capabilities_of, crew, describe_crew
from swarm.planner.questions import (
    NOTES_SYSTEM,
    PLAN_SYSTEM,
    NotesAnswer,
    PlanAnswer,
    check_notes,
    check_of_plan,
    notes_prompt,
    plan_prompt,
    system_for,
)
from swarm.services.plan_drafts import take_plan
from swarm.services.planned_goals import note_progress
from swarm.states import ATTEMPT_TERMINAL, Complexity, TaskStatus

log = logging.getLogger(__name__)


def plan_goal(goal: Task, *, context_chars: int) -> None:
    """Have a goal planned by the language model, and carry the plan out or keep it for approval.

    Nothing happens for a goal that is not to be planned now. What is answered about a goal that
    was cancelled, or planned otherwise, meanwhile is dropped. DomainError and ExternalError as
    `ask` raises them.
    """
    if not _is_wanted(goal):
        return
    try:
        _plan(goal, context_chars)
    except WrongState as moved:
        log.info("goal %s needs no plan of the model any more: %s", goal.id, moved)


def _plan(goal: Task, context_chars: int) -> None:
    """Ask twice and hand the plan in; WrongState as soon as the goal needs it no more."""
    note_progress(goal, "planning: reading the repository", now_utc())
    shown = _read(goal, context_chars)
    plan = _ask_for_plan(goal, shown)
    note_progress(goal, "planning: the plan is there", now_utc())
    notes = _ask_for_notes(goal, plan, shown) if len(plan) > 1 else ""
    by = f"llm:{model_for(LlmPurpose.PLAN, Complexity.LARGE)}"
    take_plan(goal, plan, notes=notes, by=by, now=now_utc())


def _read(goal: Task, context_chars: int) -> str:
    repository = Repository(goal.repository, local_node().home)
    repository.ensure(goal.base_commit)
    repository.require_commit(goal.base_commit)
    return RepositoryContext(repository, goal.base_commit).text(context_chars)


def _ask_for_plan(goal: Task, shown: str) -> list[PlannedSubtask]:
    agents, fence = crew(now_utc()), Fence()
    question = Question(
        purpose=LlmPurpose.PLAN,
        system=system_for(PLAN_SYSTEM, fence),
        prompt=plan_prompt(goal, fence, repository=shown, crew=describe_crew(agents)),
        answer=PlanAnswer,
        check=check_of_plan(capabilities_of(agents)),
        complexity=Complexity.LARGE,
        on_progress=_progress_of(goal, "planning"),
    )
    return ask(question, task=goal).planned()


def _ask_for_notes(goal: Task, plan: list[PlannedSubtask], shown: str) -> str:
    fence = Fence()
    question = Question(
        purpose=LlmPurpose.NOTES,
        system=system_for(NOTES_SYSTEM, fence),
        prompt=notes_prompt(goal, plan, fence, repository=shown),
        answer=NotesAnswer,
        check=check_notes,
        complexity=Complexity.LARGE,
        on_progress=_progress_of(goal, "writing notes"),
    )
    try:
        return ask(question, task=goal).notes
    except WrongState:
        raise
    except (DomainError, ExternalError) as failure:
        # A plan without notes is worth more than no plan.
        log.warning("goal %s is planned without notes: %s", goal.id, failure)
        return ""


def _progress_of(goal: Task, what: str) -> Callable[[int], None]:
    return lambda chars: note_progress(goal, f"{what}: {chars:,} characters", now_utc())


def _is_wanted(goal: Task) -> bool:
    """Tell whether a goal is to be planned now, and no agent is already at it."""
    if goal.status != TaskStatus.PLANNING or not goal.base_commit:
        return False
    if goal.plan_draft is not None:
        return False
    at_it = Attempt.objects.filter(
        task_id=goal.id, assigner_node_id=local_node().node_id, planning=True
    )
    return not at_it.exclude(status__in=ATTEMPT_TERMINAL).exists()
