"""What an arrived commit changes, and what else under way may meet it there."""

from __future__ import annotations

from swarm.git.command import run_git
from swarm.git.repository import Repository
from swarm.models import Task
from swarm.services.overlaps import Overlap, overlaps_of

PATHS_MAX = 200


def note_arrival(task: Task, repository: Repository) -> list[Overlap]:
    """Keep which paths a reported commit changes and return the tasks under way that meet it.

    Whether those that arrived together merge is decided on paper by the merge itself.
    """
    since = f"{task.base_commit}...{task.commit}"
    args = ["diff", "--name-only", "--no-renames", "-z", since]
    # Without a common history there is no answer, and merging says what is wrong.
    shown = run_git(args, cwd=repository.path, check=False).stdout
    task.changed_paths = shown.split("\0")[:-1][:PATHS_MAX]
    Task.objects.filter(id=task.id).update(changed_paths=task.changed_paths)
    return overlaps_of(task)
