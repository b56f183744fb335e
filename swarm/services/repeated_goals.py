"""A goal that is submitted again, with the Idempotency-Key of the first time.

The stored answers of an emperor stay with it. So that its successor makes no second goal of the
same request, the goal's id follows from the key: whoever knows the goal knows that it was asked.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from django.utils.crypto import salted_hmac

from p2p.protocol.errors import DomainError
from swarm.models import Task, TaskCopy
from swarm.queries import describe_task
from swarm.replication.bodies import describe_copy

_NAMESPACE = UUID("6a1c6f6e-5f0e-5c62-9c0e-0b7f2d9e4a11")
_SALT = "voidlux.goal-of-key"


def goal_id_of(key: str) -> UUID:
    """Return the id of the goal that is submitted with `key`, the same at all members."""
    # Through the swarm's own key: two swarms whose users take the same word do not meet.
    return uuid5(_NAMESPACE, salted_hmac(_SALT, key, algorithm="sha256").hexdigest())


def find(goal_id: UUID, description: str, repository: str) -> dict[str, Any] | None:
    """Return the goal as it is now where it is known, None where it is not.

    DomainError `idempotency_key_reused` (422) where another goal was submitted with the key.
    """
    task = Task.with_released.filter(id=goal_id).first()
    if task is not None:
        _check_same((task.description, task.repository), description, repository)
        return describe_task(task)
    copy = TaskCopy.objects.filter(id=goal_id).first()
    if copy is not None:
        held = str(copy.body.get("description", "")), str(copy.body.get("repository", ""))
        _check_same(held, description, repository)
        return describe_copy(copy)
    return None


def _check_same(held: tuple[str, str], description: str, repository: str) -> None:
    if held != (description, repository):
        raise DomainError(
            "idempotency_key_reused", "the Idempotency-Key was used for another goal", status=422
        )
