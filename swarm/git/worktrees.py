"""One worktree per attempt: made once, committed, and removed only when nothing is lost."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from p2p.protocol.errors import DomainError
from swarm.git.clone_settings import apply_settings
from swarm.git.command import run_git
from swarm.git.names import validate_branch, validate_commit
from swarm.git.repository import Repository

INITIALIZING = "initializing"  # git's own lock reason while `worktree add` is still at work


@dataclass(frozen=True, slots=True)
class Worktree:
    """A worktree as the clone registers it; `branch` is empty on a detached head."""

    path: Path
    head: str
    branch: str
    lock_reason: str | None


def list_worktrees(repo: Repository) -> list[Worktree]:
    """Return the registered worktrees of the clone, without the bare clone itself."""
    blocks = repo.git("worktree", "list", "--porcelain", "-z").stdout.split("\0\0")
    parsed = [dict(_pair(line) for line in block.split("\0") if line) for block in blocks]
    return [
        Worktree(
            path=Path(entry["worktree"]),
            head=entry.get("HEAD", ""),
            branch=entry.get("branch", "").removeprefix("refs/heads/"),
            lock_reason=entry.get("locked"),
        )
        for entry in parsed
        if "worktree" in entry and "bare" not in entry
    ]


def find_worktree(repo: Repository, path: Path) -> Worktree | None:
    """Return the registered worktree at `path`, or None."""
    wanted = path.resolve()
    return next((tree for tree in list_worktrees(repo) if tree.path == wanted), None)


def begin_worktree(repo: Repository, path: Path, branch: str, start_commit: str) -> bool:
    """Make a worktree of which nothing exists yet, by one command of git.

    False where git refuses, because of what stands in the way, what is missing or what went
    wrong: `add_worktree` then finds out.
    """
    validate_branch(branch)
    validate_commit(start_commit)
    path = path.resolve()
    if path.exists() or not repo.path.is_dir():
        return False
    with repo.locked():
        apply_settings(repo.path, repo.url)
        return _make_branch(repo, path, branch, start_commit, check=False)


def add_worktree(repo: Repository, path: Path, branch: str, start_commit: str) -> Worktree:
    """Make the worktree of `branch`, new at `start_commit`, or return the one made before.

    DomainError `branch_diverged` where `branch` exists without `start_commit`, `branch_in_use`
    where it lives in another worktree, and `worktree_in_use` where `path` is on another branch.
    """
    validate_branch(branch)
    repo.require_commit(validate_commit(start_commit))
    path = path.resolve()
    with repo.locked():
        _require_descends(repo, branch, start_commit)
        _require_free(repo, branch, path)
        found = find_worktree(repo, path)
        if not _reusable(repo, found, branch):
            _clear(repo, path, found)
            _make(repo, path, branch, start_commit)
        made = find_worktree(repo, path)
    if made is None:
        raise RuntimeError(f"git made no worktree at {path}")
    return made


def is_intact(path: Path, git_dir: Path) -> bool:
    """Tell whether `path` is a worktree that git accepts as one of the clone `git_dir`."""
    if not (path / ".git").is_file():
        return False
    args = ["rev-parse", "--path-format=absolute", "--git-common-dir"]
    result = run_git(args, cwd=path, check=False)
    return result.code == 0 and Path(result.stdout.rstrip("\n")).resolve() == git_dir.resolve()


def unlock_files(repo: Repository, path: Path, branch: str) -> list[Path]:
    """Remove lock files that a killed git left of a worktree in which nothing runs any more."""
    args = ["rev-parse", "--absolute-git-dir"]
    admin = Path(run_git(args, cwd=path).stdout.rstrip("\n"))
    found = [*admin.rglob("*.lock"), repo.path / "refs" / "heads" / f"{branch}.lock"]
    removed = [each for each in found if each.exists()]
    for each in removed:
        each.unlink(missing_ok=True)
    return removed


def set_aside(path: Path) -> Path | None:
    """Move what stands at `path` out of the way; never delete it.  Returns its new place."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return None
    target = path.with_name(f"{path.name}.aside-{os.urandom(4).hex()}")
    return path.rename(target)


def forget_worktree(repo: Repository, tree: Worktree) -> None:
    """Strike a worktree whose folder is gone off the clone's register; hold the lock."""
    drop_worktree(repo, tree.path)


def drop_worktree(repo: Repository, path: Path) -> None:
    """Remove a registered worktree with whatever it holds; hold the lock and rescue it before."""
    # Twice: a lock that an agent set is no reason to keep what is on a ref.
    repo.git("worktree", "remove", "--force", "--force", "--", str(path))


def _reusable(repo: Repository, found: Worktree | None, branch: str) -> bool:
    if found is None or found.lock_reason == INITIALIZING or not is_intact(found.path, repo.path):
        return False
    if found.branch != branch:
        where = found.branch or f"the detached commit {found.head}"
        message = f"worktree {found.path.name} is on {where}, not on {branch}"
        raise DomainError("worktree_in_use", message)
    return True


def _make(repo: Repository, path: Path, branch: str, start_commit: str) -> None:
    if repo.local_head(branch) is None:
        _make_branch(repo, path, branch, start_commit)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        repo.git("worktree", "add", "--", str(path), branch)


def _make_branch(
    repo: Repository, path: Path, branch: str, start_commit: str, *, check: bool = True
) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    args = ("worktree", "add", "--no-track", "-b", branch, "--", str(path), start_commit)
    return repo.git(*args, check=check).code == 0


def _clear(repo: Repository, path: Path, found: Worktree | None) -> None:
    if found is not None and found.lock_reason == INITIALIZING:
        # Nobody has worked there yet: all it holds is part of a checkout.
        shutil.rmtree(path, ignore_errors=True)
    set_aside(path)
    if found is not None:
        forget_worktree(repo, found)


def _require_descends(repo: Repository, branch: str, start_commit: str) -> None:
    head = repo.local_head(branch)
    if head is not None and not repo.is_ancestor(start_commit, head):
        message = f"branch {branch} at {head} does not contain its start {start_commit}"
        raise DomainError("branch_diverged", message)


def _require_free(repo: Repository, branch: str, path: Path) -> None:
    for tree in list_worktrees(repo):
        if tree.branch != branch or tree.path == path:
            continue
        if tree.path.exists():
            message = f"branch {branch} is at work in worktree {tree.path.name}"
            raise DomainError("branch_in_use", message)
        forget_worktree(repo, tree)


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(" ")
    return name, value
