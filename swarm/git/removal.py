"""Remove a worktree only on proof that the remote holds its work."""

from __future__ import annotations

import re
from pathlib import Path

from p2p.protocol.errors import DomainError
from swarm.git.command import run_git
from swarm.git.names import validate_branch
from swarm.git.repository import Repository
from swarm.git.worktrees import find_worktree, is_intact

EVIDENCE_MAX = 50
NAMED_MAX = 5


def unpushed(repo: Repository, path: Path) -> list[str]:
    """Return what the remote lacks of the worktree at `path`: changed files, then commits.

    Asks the remote first, so an unreachable one is a retryable ExternalError, never "nothing".
    """
    with repo.locked():
        repo.fetch_locked()
        found = find_worktree(repo, path)
        branch = found.branch if found is not None else ""
        return _uncommitted(repo, path) + _unpushed_commits(repo, path, branch)


def remove_worktree(repo: Repository, path: Path, branch: str) -> None:
    """Remove the worktree; DomainError `unpushed_work` unless the remote holds all its commits.

    The local branch stays, and commits that only a reflog still knows get a rescue ref.
    """
    validate_branch(branch)
    with repo.locked():
        found = find_worktree(repo, path)
        if found is None and not path.exists():
            return
        repo.fetch_locked()
        evidence = _uncommitted(repo, path) + _unpushed_commits(repo, path, branch)
        if evidence:
            listed = "; ".join(evidence[:NAMED_MAX])
            message = f"worktree {path.name} holds {len(evidence)} unpushed: {listed}"
            raise DomainError("unpushed_work", message)
        _rescue(repo, path, branch)
        # Without --force git itself looks once more for changes that came since.
        repo.git("worktree", "remove", "--", str(path.resolve()))


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


def _rescue(repo: Repository, path: Path, branch: str) -> None:
    """Keep commits that were amended or reset away, which the worktree's reflog alone holds."""
    if not path.exists():
        return
    args = ["log", "--walk-reflogs", "--format=%H", "HEAD"]
    log = run_git(args, cwd=path, check=False).stdout.split()
    remote = ("--not", "--remotes=origin", f"refs/heads/{branch}")
    for commit in dict.fromkeys(log):
        if repo.git("rev-list", "--max-count=1", commit, *remote).stdout.strip():
            repo.git("update-ref", f"refs/voidlux/rescue/{branch}/{commit[:12]}", commit)


def _head(path: Path) -> str | None:
    if not path.exists():
        return None
    result = run_git(["rev-parse", "--verify", "--quiet", "HEAD"], cwd=path, check=False)
    head = result.stdout.strip()
    return head if re.fullmatch(r"[0-9a-f]{40,64}", head) else None
