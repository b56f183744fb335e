"""A remote with many files and branches, and goals whose subtasks report those branches."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.swarm.begin import AUTHOR, make_remote
from swarm.git.command import run_git

if TYPE_CHECKING:
    from swarm.models import Task


def change(number: int) -> str:
    """Return what branch `number` changes: the end of a file of its own."""
    return f"# changed by {number}\n"


def make_scene(folder: Path, files: int, branches: int, broken: int = 0) -> tuple[Path, list[str]]:
    """Make a remote whose branches work/1, work/2, … change one file each; their commits.

    The branch `broken` changes its file so that `no_bug` is red.
    """
    remote, work = make_remote(folder, files), folder / "work"
    base = run_git(("rev-parse", "HEAD"), cwd=work).stdout.strip()
    commits = []
    for number in range(1, branches + 1):
        run_git(("reset", "-q", "--hard", base), cwd=work)
        path = work / f"package{number % 100}" / f"module{number}.py"
        path.write_text(path.read_text() + ("BUG\n" if number == broken else change(number)))
        run_git(("commit", "-qam", f"Change {number}"), cwd=work, env_extra=AUTHOR)
        commits.append(run_git(("rev-parse", "HEAD"), cwd=work).stdout.strip())
        run_git(("push", "-q", str(remote), f"HEAD:refs/heads/work/{number}"), cwd=work)
    return remote, commits


def no_bug(branches: int) -> str:
    """Return a test command that is red where a branch has put BUG at the end of its file."""
    files = " ".join(f"package{n % 100}/module{n}.py" for n in range(1, branches + 1))
    return f"! tail -qn 1 {files} | grep -q BUG"


def reported_goal(remote: Path, commits: list[str], test_command: str) -> Task:
    """Return a goal with a subtask for each commit, all of which are reported."""
    from p2p.clock import now_utc
    from swarm.gate.preparation import prepare_goal
    from swarm.models import Task
    from swarm.services import goals, jobs
    from swarm.states import TaskStatus

    jobs.nudge_with(lambda _: None)
    request = goals.GoalRequest(
        description="# Goal\n\n- [ ] Work\n\n  ```sh\n  true\n  ```\n",
        repository=str(remote),
        test_command=test_command,
    )
    goal = goals.create_goal(request, now=now_utc())
    prepare_goal(goal)
    task = goal.subtasks.get()
    for number, commit in enumerate(commits, start=1):
        if number > 1:
            task.pk, task._state.adding = uuid.uuid4(), True
        task.number, task.commit, task.git_branch = number, commit, f"work/{number}"
        task.status, task.attempt = TaskStatus.PENDING_REVIEW, 1
        task.save()
    return Task.objects.get(id=goal.id)
