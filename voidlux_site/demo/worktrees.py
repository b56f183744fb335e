"""Looks for worktrees that a node still has, and for work in them that nobody pushed."""

from __future__ import annotations

from pathlib import Path

from p2p.protocol.errors import DomainError, ExternalError
from swarm.git.removal import unpushed
from swarm.git.repository import Repository
from swarm.git.worktrees import list_worktrees
from voidlux_site.demo.client import Json

WORKTREES_DIR = "worktrees"


def leftover_worktrees(home: Path, repository: Path) -> list[Path]:
    """Return the worktrees of a node's clone and whatever else stands where they are made."""
    clone = Repository(str(repository), home)
    registered = {tree.path for tree in list_worktrees(clone)} if clone.path.is_dir() else set()
    standing = {path.resolve() for path in (home / WORKTREES_DIR).glob("*")}
    strange = {path for path in standing if _holds_files(path) and not _covers(path, registered)}
    return sorted(registered | strange)


def describe_leftovers(home: Path, repository: Path) -> list[Json]:
    """Return each leftover worktree with what the remote lacks of it."""
    clone = Repository(str(repository), home)
    return [
        {"worktree": path.name, "unpushed": _unpushed(clone, path)}
        for path in leftover_worktrees(home, repository)
    ]


def _holds_files(path: Path) -> bool:
    return path.is_file() or any(not each.is_dir() for each in path.rglob("*"))


def _covers(path: Path, registered: set[Path]) -> bool:
    return any(tree.is_relative_to(path) for tree in registered)


def _unpushed(clone: Repository, path: Path) -> list[str]:
    try:
        return unpushed(clone, path)
    except (DomainError, ExternalError) as error:
        return [str(error)]  # what cannot be looked at is not proved to be safe
