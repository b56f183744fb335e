"""Files that a worktree needs and git does not carry, such as `.env`, copied as it asks.

The repository's `.worktreeinclude` (gitignore syntax) says which; the operator's folder
`repositories/<id>/include` in the home has them.  A file is copied only if the repository also
ignores it, so that it can never be committed or pushed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from swarm.git.command import run_git
from swarm.git.repository import Repository

PATTERNS = ".worktreeinclude"
NOT_IGNORED = "the repository does not ignore it"
OUTSIDE = "its place lies outside of the worktree"
NO_FILE = "it is no regular file"


@dataclass(slots=True)
class Included:
    """Paths that were copied now or before, and those that were not, each with the reason."""

    copied: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def include_dir(repo: Repository) -> Path:
    """Return the folder that the operator fills with files for this repository's worktrees."""
    return repo.own_dir / "include"


def copy_included(repo: Repository, worktree: Path) -> Included:
    """Copy what the worktree's `.worktreeinclude` names; what stands there already is kept."""
    source, patterns = include_dir(repo), worktree / PATTERNS
    outcome = Included()
    if not source.is_dir() or not patterns.is_file():
        return outcome
    names = _matching(repo, source, patterns)
    # Git refuses to judge any path while one of them leads through a link.
    inside = [name for name in names if _is_inside(worktree, name)]
    ignored = _ignored(worktree, inside)
    for name in names:
        reason = _reason_against(name, inside, ignored) or _copy(source / name, worktree, name)
        if reason:
            outcome.left_out[name] = reason
        else:
            outcome.copied.append(name)
    return outcome


def _matching(repo: Repository, source: Path, patterns: Path) -> list[str]:
    # An empty index makes every file an untracked one, and the patterns the only ignore rules.
    args = [f"--git-dir={repo.path}", f"--work-tree={source}", "ls-files", "-z", "--others"]
    args += ["--ignored", f"--exclude-from={patterns}"]
    env = {"GIT_INDEX_FILE": str(source.parent / "no-index")}
    shown = run_git(args, cwd=source, env_extra=env).stdout
    return sorted(name for name in shown.split("\0") if name)


def _ignored(worktree: Path, names: list[str]) -> set[str]:
    if not names:
        return set()
    args = ["check-ignore", "-z", "--stdin"]
    stdin = "".join(f"{name}\0" for name in names)
    shown = run_git(args, cwd=worktree, stdin=stdin, check=False)
    return {name for name in shown.stdout.split("\0") if name}


def _is_inside(worktree: Path, name: str) -> bool:
    """Tell whether a place is in the worktree itself, and not behind a link of the repository."""
    parent = (worktree / name).parent
    return parent.resolve() == worktree.resolve() / Path(name).parent


def _reason_against(name: str, inside: list[str], ignored: set[str]) -> str:
    if name not in inside:
        return OUTSIDE
    return "" if name in ignored else NOT_IGNORED


def _copy(source: Path, worktree: Path, name: str) -> str:
    target = worktree / name
    if source.is_symlink() or not source.is_file():
        return NO_FILE
    if os.path.lexists(target):
        return ""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copy(source, draft)
        draft.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    return ""
