"""Commit what an agent left in its worktree, without swallowing or dropping anything."""

from __future__ import annotations

from pathlib import Path

from p2p.protocol.errors import DomainError
from swarm.git.command import run_git
from swarm.git.conflicts import add_resolved, listing, merge_under_way
from swarm.git.locking import clone_lock
from swarm.git.merging import identity_environment

GITLINK_MODE = "160000"


def commit_all(worktree: Path, message: str, author: str) -> str:
    """Commit everything uncommitted as `author` ("Name <mail>") and return HEAD's id.

    Files that the repository ignores stay out, and a merge under way is concluded.  DomainError
    `unmerged_files` while it is unresolved, and `embedded_repository` for a nested clone, of
    which git keeps only the id.
    """
    with clone_lock(_common_dir(worktree)):
        add_resolved(worktree)
        run_git(["add", "--all"], cwd=worktree)
        _refuse_embedded(worktree)
        changed = run_git(["diff", "--cached", "--quiet"], cwd=worktree, check=False).code != 0
        # A merge resolved to our side changes no file, and is still to be concluded.
        if changed or merge_under_way(worktree):
            args = ["commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", message]
            run_git(args, cwd=worktree, env_extra=identity_environment(author))
        return run_git(["rev-parse", "--verify", "HEAD"], cwd=worktree).stdout.strip()


def current_branch(worktree: Path) -> str:
    """Return the branch that the worktree is on; empty where its head is detached."""
    args = ["symbolic-ref", "--quiet", "--short", "HEAD"]
    return run_git(args, cwd=worktree, check=False).stdout.strip()


def _refuse_embedded(worktree: Path) -> None:
    fields = _paths(worktree, "diff", "--cached", "--raw", "--no-renames", "--diff-filter=A", "-z")
    added = [
        path
        for head, path in zip(fields[::2], fields[1::2], strict=True)
        if head.split()[1] == GITLINK_MODE
    ]
    embedded = [path for path in added if not _is_submodule(worktree, path)]
    if embedded:
        run_git(["reset", "--quiet", "--", *embedded], cwd=worktree)
        message = f"nested repository in {listing(embedded)} would be committed as its id only"
        raise DomainError("embedded_repository", message)


def _is_submodule(worktree: Path, path: str) -> bool:
    args = ["config", "--file", ".gitmodules", "--get-all", f"submodule.{path}.path"]
    return run_git(args, cwd=worktree, check=False).code == 0


def _common_dir(worktree: Path) -> Path:
    args = ["rev-parse", "--path-format=absolute", "--git-common-dir"]
    return Path(run_git(args, cwd=worktree).stdout.rstrip("\n"))


def _paths(worktree: Path, *args: str) -> list[str]:
    return [part for part in run_git(args, cwd=worktree).stdout.split("\0") if part]
