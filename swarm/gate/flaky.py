"""Tests that are red now and green then: remembered for each repository, with their rate."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F

from swarm.models import FlakyTest, Task, TestRun

RUNS_KEPT_MAX = 50
NAMES_MAX = 50
SHOWN_MAX = 100


def note_flaky(goal: Task, red: TestRun, green: TestRun) -> None:
    """Remember what was red in one run and not in its repetition; a repeated call changes nothing.

    Where the runs do not name their tests, the command as a whole is remembered.
    """
    names = sorted(set(red.failing_tests) - set(green.failing_tests))[:NAMES_MAX] or [""]
    seen = TestRun.objects.filter(goal__repository=goal.repository, command=red.command).count()
    with transaction.atomic():
        for name in names:
            _note(goal.repository, red, green, name, seen)


def flaky_tests_of(goal: Task) -> list[FlakyTest]:
    """Return the flaky tests of a goal's repository, the last one first."""
    return list(FlakyTest.objects.filter(repository=goal.repository)[:SHOWN_MAX])


def _note(repository: str, red: TestRun, green: TestRun, name: str, seen: int) -> None:
    row, _ = FlakyTest.objects.get_or_create(
        repository=repository,
        command=red.command,
        name=name,
        defaults={"last_at": green.at},
    )
    if green.id in row.runs:
        return
    FlakyTest.objects.filter(id=row.id).update(
        # Runs go with their goals; a rate is not to rise because its evidence is old.
        runs_seen=max(seen, row.runs_seen),
        flaky_times=F("flaky_times") + 1,
        runs=[*row.runs, red.id, green.id][-RUNS_KEPT_MAX:],
        last_at=green.at,
    )
