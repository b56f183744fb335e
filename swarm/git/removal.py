"""Remove a worktree only on proof that the remote holds its work, on branches or rescue refs."""

from __future__ import annotations

import re
from pathlib import Path

from p2p.protocol.errors import DomainError
from swarm.git.command import run_git
from swarm.git.names import validate_branch
from swarm.git.repository import Repository
from swarm.git.rescue import keep_local, rescue
from swarm.git.rescue.rescuing import admin_dir
from swarm.git.worktrees import (
    drop_worktree,
    find_worktree,
    forget_worktree,
    is_intact,
    list_worktrees,
)

EVIDENCE_MAX = 50
ROUNDS_MAX = 3


def unpushed(repo: Repository, path: Path) -> list[str]:
    """Return what the remote lacks of the worktree at `path`: changed files, then commits.

    Asks the remote first, so an unreachable one is a retryable ExternalError, never "nothing".
    """
    with repo.locked():
        repo.fetch_locked()
        return known_unpushed(repo, path)


def known_unpushed(repo: Repository, path: Path) -> list[str]:
    """Return what `origin` lacked of the worktree at the last fetch; files, then commits."""
    found = find_worktree(repo, path)
    branch = found.branch if found is not None else ""
    return _uncommitted(repo, path) + _unpushed_commits(repo, path, branch)


def remove_worktree(repo: Repository, path: Path, branch: str) -> list[str]:
    """Rescue the worktree and remove it; returns its rescue refs, which the remote confirmed.

    The local branch stays.  DomainError `unpushed_work` where it can not be saved: what stands
    there is no worktree, or changes all the while; ExternalError while the remote is away.
    """
    validate_branch(branch)
    with repo.locked():
        if find_worktree(repo, path) is None and not path.exists():
            return []
        _mend(repo, path)
    if path.exists() and not is_intact(path, repo.path):
        raise DomainError("unpushed_work", f"{path.name} is no worktree of this clone any more")
    for _ in range(ROUNDS_MAX):
        confirmed = set(rescue(repo, path, branch))
        with repo.locked():
            # Looked at again: the push took time, and somebody may have worked meanwhile.
            if set(keep_local(repo, path, branch)) <= confirmed:
                _drop(repo, path)
                return sorted(confirmed)
    raise DomainError("unpushed_work", f"worktree {path.name} changes while it is rescued")


def _mend(repo: Repository, path: Path) -> None:
    """Write the link to the clone again where only that was deleted."""
    admin = admin_dir(repo, path)
    if admin is not None and path.is_dir() and not (path / ".git").exists():
        (path / ".git").write_text(f"gitdir: {admin}\n")


def _drop(repo: Repository, path: Path) -> None:
    path = path.resolve()
    for tree in list_worktrees(repo):
        if tree.path != path and tree.path.is_relative_to(path):
            drop_worktree(repo, tree.path)
    found = find_worktree(repo, path)
    if found is not None:
        forget_worktree(repo, found)


def _uncommitted(repo: Repository, path: Path) -> list[str]:
    if not path.exists():
        return []
    if not is_intact(path, repo.path):
        raise DomainError("unpushed_work", f"{path.name} is no worktree of this clone any more")
    args = ["status", "--porcelain", "--untracked-files=all", "-z"]
    entries = run_git(args, cwd=path).stdout.split("\0")
    return [f"uncommitted {entry.strip()}" for entry in entries if entry][:EVIDENCE_MAX]


def _unpushed_commits(repo: Repository, path: Path, branch: str) -> list[str]:
    tips = [tip for tip in (_head(path), repo.local_head(branch) if branch else None) if tip]
    if not tips:
        return []
    args = ("log", "--format=commit %h %s", f"--max-count={EVIDENCE_MAX}", *dict.fromkeys(tips))
    return repo.git(*args, "--not", "--remotes=origin").stdout.splitlines()


def _head(path: Path) -> str | None:
    if not path.exists():
        return None
    result = run_git(["rev-parse", "--verify", "--quiet", "HEAD"], cwd=path, check=False)
    head = result.stdout.strip()
    return head if re.fullmatch(r"[0-9a-f]{40,64}", head) else None
