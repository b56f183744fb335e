"""Which command proves a goal, and who says so: decided once, where its work starts."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from swarm.gate.repository_settings import SETTINGS_FILE, read_settings
from swarm.git.repository import Repository
from swarm.models import Task
from swarm.services.transitions import note_event
from swarm.states import Actor, TaskStatus, TestSource

# A preparation that is tried again reads again what the repository says.
_LEFT_TO_REPOSITORY = frozenset({"", TestSource.REPOSITORY, TestSource.NOBODY})


def choose_test(goal: Task, repository: Repository, commit: str, now: datetime) -> None:
    """Keep a goal's test command and settings, and say in its history where they come from.

    They are read at `commit`, the base, which no agent of the goal can have written.
    DomainError `bad_settings` for a file with a mistake.
    """
    settings = read_settings(repository, commit)
    command, source = goal.test_command, goal.test_source
    if source in _LEFT_TO_REPOSITORY:
        command = settings.command
        source = TestSource.REPOSITORY if command.strip() else TestSource.NOBODY
    with transaction.atomic():
        chosen = Task.objects.filter(id=goal.id, status=TaskStatus.PLANNING).update(
            test_command=command, test_source=source, test_settings=settings.to_json()
        )
        if chosen:
            reason = _reason(command, TestSource(source), commit)
            status = TaskStatus.PLANNING
            goal.refresh_from_db()
            note_event(goal, status, status, by=Actor.PLANNER, reason=reason, now=now)


def _reason(command: str, source: TestSource, commit: str) -> str:
    if source == TestSource.NOBODY:
        return f"not tested: neither the goal, VOIDLUX_TEST_COMMAND nor {SETTINGS_FILE} says how"
    if not command.strip():
        return "not tested: the goal says so"
    says = {
        TestSource.GOAL: "the goal says",
        TestSource.ENVIRONMENT: "VOIDLUX_TEST_COMMAND says",
        TestSource.REPOSITORY: f"{SETTINGS_FILE} at {commit[:8]} says",
    }[source]
    return f"tested with {command!r}, as {says}"
