"""Rows from records: a task as its emperor's signed record tells of it, ready to be stored."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import models

from p2p.protocol.errors import DomainError
from p2p.protocol.timestamps import from_timestamp
from swarm.models import Task, TaskEvent
from swarm.outline import parse_goal
from swarm.plan import is_draft
from swarm.replication.messages import TaskBody
from swarm.states import TASK_TERMINAL, TaskStatus


def task_columns(body: TaskBody) -> dict[str, Any]:
    """Return what a record says of a task, by column; without its prerequisites and its history.

    What the database would not take is brought to what it does: a record is another node's word.
    """
    columns = {
        field.attname: _value_for(field, getattr(body, field.attname))
        for field in Task._meta.concrete_fields
        if hasattr(body, field.attname)
    }
    columns["attempts_max"] = max(body.attempts_max, body.attempt)
    if columns["status"] not in TASK_TERMINAL:
        columns["archived_at"] = None
    if body.parent_id is None:
        columns["instructions"] = _intro_of(body)
    if not is_draft(columns["plan_draft"]):
        columns["plan_draft"] = None  # it is planned anew
    return columns


def missing_events(body: TaskBody, known_until: datetime | None) -> list[TaskEvent]:
    """Return the moves that a record tells of and that are later than what is known, not saved."""
    told = [(from_timestamp(each.at), each) for each in body.history]
    return [
        TaskEvent(
            task_id=UUID(body.id),
            source=each.source[:16],
            target=each.target[:16],
            by=each.by[:12],
            reason=each.reason[:500],
            at=at,
        )
        for at, each in told
        if known_until is None or at > known_until
    ]


def _value_for(field: Any, value: Any) -> Any:
    if value is None:
        return None if field.null else ""
    if isinstance(field, models.DateTimeField):
        return from_timestamp(value)
    if isinstance(field, models.UUIDField | models.ForeignKey):
        return UUID(value)
    if isinstance(field, models.JSONField):
        return _json_for(field, value)
    if field.choices and value not in dict(field.choices):
        return TaskStatus.FAILED if field.attname == "status" else field.get_default()
    return value[: field.max_length] if isinstance(value, str) and field.max_length else value


def _json_for(field: Any, value: Any) -> Any:
    """Return what a JSON column takes: what travels as text is read."""
    if not isinstance(value, str):
        return msgspec.to_builtins(value)
    with contextlib.suppress(msgspec.DecodeError):
        read = msgspec.json.decode(value) if value else None
        if isinstance(read, dict):
            return read
    return field.get_default()


def _intro_of(body: TaskBody) -> str:
    """Return what all subtasks of a goal should know: it is written in the description."""
    try:
        return parse_goal(body.description).intro
    except DomainError:
        return ""
