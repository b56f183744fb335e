"""What speaks against a reported commit, as the remote shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from p2p.protocol.errors import DomainError
from swarm import hooks
from swarm.git.names import attempt_branch
from swarm.git.repository import Repository
from swarm.models import Task

SEEN_BRANCHES = "refs/remotes/origin/task"
PREFIX = "refs/remotes/origin/"


@dataclass(frozen=True)
class Objection:
    """Why a reported commit is no result, in words, with its evidence."""

    reason: str
    evidence: dict[str, Any]


def objection_to(
    task: Task, repository: Repository, *, branch: str, commit: str, shown: str | None
) -> Objection | None:
    """Return what speaks against `commit`, reported on `branch` whose head is `shown`, or None.

    It must be the head of its branch on the remote, add something to what its run began with,
    and, where the run was hired, be the work of that run and of no other.
    """
    if shown != commit:
        return Objection(
            f"reported {commit[:8]} on {branch}, "
            f"the remote shows {shown[:8] if shown else 'no such branch'}",
            {"reported": commit, "remote": shown},
        )
    if _adds_nothing(task, repository, branch, commit):
        return Objection(
            f"reported {commit[:8]} adds nothing to its base {task.base_commit[:8]}",
            {"reported": commit, "base": task.base_commit},
        )
    words = _of_somebody_else(task, repository, commit)
    return Objection(f"reported {commit[:8]} {words}", {"reported": commit}) if words else None


def _adds_nothing(task: Task, repository: Repository, branch: str, commit: str) -> bool:
    """Tell whether a reported commit is only what its run began with: no result to pay for."""
    try:
        repository.fetch_commit(branch, commit)
        if not task.base_commit:
            return False
        contained = repository.is_ancestor(commit, task.base_commit)
        return contained or repository.same_files(commit, task.base_commit)
    except DomainError:
        return False  # the branch moved on since it was asked; merging says what is wrong


def _of_somebody_else(task: Task, repository: Repository, commit: str) -> str:
    if task.tribute_id is None:
        return ""
    if words := hooks.objection_to(task, commit):
        return words
    if not repository.has_commit(commit):
        return ""
    # Branches of tasks as they were last fetched: those whose reports were looked at.
    args = ("for-each-ref", "--format=%(refname)", f"--contains={commit}", SEEN_BRANCHES)
    own = attempt_branch(task.id, 1)
    for name in repository.git(*args).stdout.split():
        branch = name.removeprefix(PREFIX)
        if branch != own and not branch.startswith(f"{own}-"):
            return f"is already on {branch}, the branch of another task"
    return ""
