"""Overlaps: which words are paths, who is about the same ones, and that dispatch says so."""

from __future__ import annotations

import pytest

from swarm.models import Task, TaskEvent
from swarm.services import overlaps
from swarm.services.dispatch import dispatch_ready
from swarm.services.overlaps import named_paths, overlaps_of, warning
from swarm.states import TaskStatus
from tests.support.factories import NOW, make_agent, make_task

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("Fix src/app/views.py and ./calc.py.", {"src/app/views.py", "calc.py"}),
        ("In `tests/test_a.py`, (see README.md)", {"tests/test_a.py", "README.md"}),
        ("echo x > part1.py; cat .github/ci.yml", {"part1.py", ".github/ci.yml"}),
        ("Speed it up 1.5 times, e.g. by caching", set()),
        ("Look at https://example.com/docs/a.html and mail a@b.io", set()),
        ("", set()),
    ],
)
def test_words_that_look_like_files(text: str, paths: set[str]) -> None:
    assert named_paths(text) == paths


def subtask(goal: Task, number: int, status: TaskStatus, shell: str, **columns: object) -> Task:
    return make_task(f"Part {number}", status, parent=goal, number=number, shell=shell, **columns)


@pytest.fixture
def goal() -> Task:
    return make_task("Goal", TaskStatus.IN_PROGRESS)


def test_only_work_under_way_in_the_same_repository_overlaps(goal: Task) -> None:
    task = subtask(goal, 1, TaskStatus.PENDING, "sed -i s/a/b/ calc.py")
    beside = subtask(goal, 2, TaskStatus.IN_PROGRESS, "rm calc.py other.py")
    subtask(goal, 3, TaskStatus.PENDING, "rm calc.py")
    subtask(goal, 4, TaskStatus.COMPLETED, "rm calc.py")
    subtask(goal, 5, TaskStatus.IN_PROGRESS, "rm other.py")
    subtask(goal, 6, TaskStatus.IN_PROGRESS, "rm calc.py", repository="/srv/elsewhere.git")

    found = overlaps_of(task)

    assert [(each.task.id, each.paths) for each in found] == [(beside.id, ["calc.py"])]
    assert warning(found) == "; may meet 'Part 2' in calc.py"


def test_what_a_task_changed_counts_more_than_what_it_names(goal: Task) -> None:
    task = subtask(goal, 1, TaskStatus.PENDING, "touch calc.py", changed_paths=["lib/sums.py"])
    subtask(goal, 2, TaskStatus.IN_PROGRESS, "touch calc.py")
    beside = subtask(goal, 3, TaskStatus.MERGING, "true", changed_paths=["lib/sums.py"])

    assert [each.task.id for each in overlaps_of(task)] == [beside.id]


def test_many_paths_and_tasks_are_counted(goal: Task) -> None:
    names = [f"f{number}.py" for number in range(overlaps.PATHS_SHOWN + 2)]
    task = subtask(goal, 1, TaskStatus.PENDING, "true", changed_paths=names)
    for number in (2, 3):
        subtask(goal, number, TaskStatus.MERGING, "true", changed_paths=names)

    said = warning(overlaps_of(task))

    assert said == "; may meet 'Part 2' in f0.py, f1.py, f2.py, f3.py, f4.py and 2 more and 1 more"


def test_the_history_of_a_dispatched_task_warns_of_what_it_may_meet(goal: Task) -> None:
    beside = subtask(goal, 1, TaskStatus.MERGING, "true", changed_paths=["calc.py"])
    task = subtask(goal, 2, TaskStatus.PENDING, "echo >> calc.py")
    make_agent("one")

    assert dispatch_ready(NOW) == 1

    event = TaskEvent.objects.get(task=task, target=TaskStatus.CLAIMED)
    assert event.reason == "a local agent is free; may meet 'Part 1' in calc.py"
    assert event.evidence == {"overlaps": [{"task_id": beside.id.hex, "paths": ["calc.py"]}]}
