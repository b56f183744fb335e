"""Tasks and agents as they travel in records, and records as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from p2p.local import local_node
from p2p.protocol.limits import DETAIL_CHARS_MAX, SUMMARY_CHARS_MAX, TITLE_CHARS_MAX
from p2p.protocol.timestamps import from_timestamp, to_timestamp
from swarm.models import Agent, Task, TaskCopy, TaskEvent
from swarm.queries import phase_of_status
from swarm.replication.messages import (
    DRAFT_CHARS_MAX,
    HISTORY_MAX,
    SETTINGS_CHARS_MAX,
    AgentBody,
    TaskBody,
    Transition,
)
from swarm.states import AgentStatus

REASON_CHARS_MAX = 300  # of one transition in a record
_LINE_CHARS_MAX = 512
# What a copy says close up only, and what it carries for the emperor that would go on with it.
_NOT_LISTED = frozenset(
    {
        *("description", "instructions", "shell", "feedback", "depends_on", "history"),
        *("token_limit", "cost_limit_micros", "on_budget", "tokens_used", "cost_used_micros"),
        *(
            "over_budget",
            "auto_merge",
            "notes",
            "plan_approval",
            "plan_draft",
            "generation_floor",
            "subtasks",
        ),
        *("choices", "question_generation", "question_number", "asked_at", "answered_at"),
    }
)


def task_body(task: Task) -> TaskBody:
    """Return a task whole, with its prerequisites and its last moves."""
    is_goal = task.parent_id is None
    return TaskBody(
        id=task.id.hex,
        parent_id=_hex(task.parent_id),
        number=task.number,
        title=_line(task.title)[:TITLE_CHARS_MAX] or "untitled",
        description=task.description,
        instructions="" if is_goal else task.instructions,
        shell=task.shell,
        acceptance_criteria=task.acceptance_criteria,
        complexity=task.complexity,  # type: ignore[arg-type]
        time_limit_s=task.time_limit_s,
        token_limit=task.token_limit,
        cost_limit_micros=task.cost_limit_micros,
        on_budget=task.on_budget,
        tokens_used=task.tokens_used,
        cost_used_micros=task.cost_used_micros,
        over_budget=_line(task.over_budget),
        status=task.status,
        priority=task.priority,
        required_capabilities=list(task.required_capabilities),
        depends_on=[] if is_goal else [each.hex for each in _prerequisites(task)],
        repository=_line(task.repository),
        base_branch=_line(task.base_branch),
        base_commit=task.base_commit or None,
        integration_commit=task.integration_commit or None,
        base_red=task.base_red,
        test_command=task.test_command[:DETAIL_CHARS_MAX],
        test_source=task.test_source,
        test_settings=_json(task.test_settings, SETTINGS_CHARS_MAX),
        auto_merge=task.auto_merge,
        notes=task.notes[:SUMMARY_CHARS_MAX],
        plan_approval=task.plan_approval,
        plan_draft=_json(task.plan_draft, DRAFT_CHARS_MAX),
        created_by=task.created_by,
        assigned_node=task.assigned_node,
        assigned_agent=_line(task.assigned_agent),
        assigned_agent_id=_hex(task.assigned_agent_id),
        tribute_id=_hex(task.tribute_id),
        attempt=task.attempt,
        attempts_max=task.attempts_max,
        generation=task.generation,
        generation_floor=task.generation_floor,
        subtasks=task.subtasks.count() if is_goal else 0,
        git_branch=_line(task.git_branch),
        commit=task.commit or None,
        merged_commit=task.merged_commit or None,
        question=task.question[:SUMMARY_CHARS_MAX],
        choices=[_line(each)[:TITLE_CHARS_MAX] or "?" for each in task.choices],
        question_generation=task.question_generation,
        question_number=task.question_number,
        asked_at=_time(task.asked_at),
        answered_at=_time(task.answered_at),
        feedback=task.feedback[-SUMMARY_CHARS_MAX:],
        result=task.result[:SUMMARY_CHARS_MAX],
        error=task.error[:SUMMARY_CHARS_MAX],
        created_at=to_timestamp(task.created_at),
        updated_at=to_timestamp(task.updated_at),
        claimed_at=_time(task.claimed_at),
        completed_at=_time(task.completed_at),
        archived_at=_time(task.archived_at),
        history=[_transition(each) for each in reversed(_last_events(task))],
    )


def agent_body(agent: Agent, now: datetime) -> AgentBody:
    """Return an agent of this node whole, as it is at `now`."""
    attempt = agent.attempt
    reserved = bool(
        agent.reserved_for and (agent.reserved_until is None or agent.reserved_until > now)
    )
    return AgentBody(
        id=agent.id.hex,
        node_id=local_node().node_id,
        swarm=local_node().swarm,
        name=agent.name,
        tool=agent.tool,
        model=_line(agent.model),
        capabilities=list(agent.capabilities),
        status=agent.status,
        source=_line(agent.source),
        rule=_line(agent.rule),
        evidence=agent.evidence[:DETAIL_CHARS_MAX],
        status_since=to_timestamp(agent.status_since),
        available=agent.status == AgentStatus.READY
        and attempt is None
        and not reserved
        and not (agent.paused_until and agent.paused_until > now),
        reserved=reserved,
        task_id=_hex(attempt.task_id) if attempt else None,
        task_title=_line(attempt.title) if attempt else "",
        registered_at=to_timestamp(agent.registered_at),
    )


def check_dates(body: TaskBody | AgentBody) -> None:
    """Raise ProtocolError for a date that does not exist: what is applied must not fail later."""
    for name in body.__struct_fields__:
        value = getattr(body, name)
        if value is not None and (name.endswith("_at") or name == "status_since"):
            from_timestamp(value)


def describe_copy(copy: TaskCopy) -> dict[str, Any]:
    """Return the copy of another emperor's task as JSON-ready data, shaped like an own task."""
    body: dict[str, Any] = {**_TASK_DEFAULTS, **copy.body}
    shown = {name: value for name, value in body.items() if name not in _NOT_LISTED}
    for name in ("base_commit", "integration_commit", "commit", "merged_commit"):
        shown[name] = shown[name] or ""
    return {
        **shown,
        "emperor_node_id": copy.emperor_node_id,
        "term": copy.term,
        "phase": phase_of_status(copy.status),
        "progress": copy.progress,
        "waiting_reason": "",  # known to its emperor only, who tells of it in the history
        "lease_expires_at": None,
        "question": None,  # asked of its emperor's operator only
        "budget": None,
        "test_source": None,  # how it is tested is its emperor's business
        "test_settings": None,
    }


def copy_details(copy: TaskCopy) -> dict[str, Any]:
    """Return what a copy says beyond its line in a list."""
    body: dict[str, Any] = {**_TASK_DEFAULTS, **copy.body}
    names = ("description", "instructions", "shell", "feedback", "depends_on")
    return {name: body[name] for name in (*names, "auto_merge", "notes", "plan_approval")}


def copy_history(copy: TaskCopy) -> list[dict[str, Any]]:
    """Return the last transitions that a copy knows of, oldest first."""
    history: list[dict[str, Any]] = copy.body.get("history", [])
    return [{**each, "id": number, "evidence": {}} for number, each in enumerate(history, 1)]


def _defaults_of(body: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the fields that a record may leave out, with what they then are."""
    known = {}
    for each in msgspec.structs.fields(body):
        if each.default is not msgspec.NODEFAULT:
            known[each.encode_name] = each.default
        elif each.default_factory is not msgspec.NODEFAULT:
            known[each.encode_name] = each.default_factory()
    return known


_TASK_DEFAULTS = _defaults_of(TaskBody)
AGENT_DEFAULTS = _defaults_of(AgentBody)


def _prerequisites(task: Task) -> list[UUID]:
    return list(task.depends_on.order_by("number").values_list("id", flat=True))


def _last_events(task: Task) -> list[TaskEvent]:
    return list(TaskEvent.objects.filter(task_id=task.id).order_by("-id")[:HISTORY_MAX])


def _transition(event: TaskEvent) -> Transition:
    return Transition(
        source=event.source,
        target=event.target,
        by=event.by,
        reason=event.reason[:REASON_CHARS_MAX],
        at=to_timestamp(event.at),
    )


def _line(text: str) -> str:
    """Return a text without what a line of the wire may not hold."""
    return "".join(each if each.isprintable() else " " for each in text[:_LINE_CHARS_MAX])


def _json(value: dict[str, Any] | None, chars_max: int) -> str:
    """Return a column's JSON as text; empty for none, or for more than fits."""
    text = msgspec.json.encode(value).decode() if value else ""
    return text if len(text) <= chars_max else ""


def _hex(identity: UUID | None) -> str | None:
    return identity.hex if identity else None


def _time(moment: datetime | None) -> str | None:
    return to_timestamp(moment) if moment else None
