"""What an operator may do with worktrees: rescue them, clean them up, decide on hooks."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from p2p.local import local_node
from p2p.protocol.errors import DomainError, ExternalError
from swarm.git.removal import remove_worktree
from swarm.git.repository import Repository
from swarm.git.rescue import rescue
from swarm.git.rescue.unowned import keep_unowned
from swarm.git.upkeep import clones_of
from swarm.worktrees.hooks import read_hooks
from swarm.worktrees.include import include_dir
from swarm.worktrees.listing import SEALED, Place, places
from swarm.worktrees.trust import Decision, decisions, note_seen, trust

IN_USE = "an attempt or the merge gate works there"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a worktree: `rescued`, `removed` or `kept`, with the reason and its refs."""

    name: str
    outcome: str
    refs: list[str]
    reason: str = ""


def rescue_all(name: str = "") -> list[Outcome]:
    """Rescue the worktree of a name, or all; also commits that nothing reaches any more."""
    outcomes = [_rescue(place) for place in _chosen(name) if place.repo is not None]
    if not name:
        for clone in clones_of(local_node().home):
            refs = keep_unowned(clone)
            if refs:
                outcomes.append(Outcome(clone.path.name, "rescued", refs))
    return outcomes


def clean(name: str = "") -> list[Outcome]:
    """Rescue and remove the worktree of a name, or all that nobody works in."""
    return [_clean(place) for place in _chosen(name)]


def repository_named(name: str) -> Repository:
    """Return the repository of a URL, a path or the id of a clone; DomainError if there is none."""
    home = local_node().home
    for clone in clones_of(home):
        if name in (clone.url, clone.own_dir.name):
            return clone
    path = Path(name).expanduser()
    return Repository(str(path.resolve()) if path.is_dir() else name, home)


def trust_hooks(repo: Repository, digest: str = "", *, now: datetime) -> list[Decision]:
    """Trust hooks that were seen, or, before any was seen, those of the default branch."""
    if not decisions(repo):
        repo.ensure()
        _, commit = repo.resolve_base()
        repo.fetch()
        note_seen(repo, read_hooks(repo, commit).values(), now=now)
    return trust(repo, digest, now=now)


def add_included(repo: Repository, source: Path, name: str = "") -> Path:
    """Copy a file into the folder of files for this repository's worktrees; returns its place.

    `name` is its path in the worktree, that of the file's own name by default.
    """
    target = include_dir(repo) / (name or source.name)
    if not source.is_file():
        raise DomainError("no_such_file", f"{source} is no file", status=422)
    if not target.resolve().is_relative_to(include_dir(repo).resolve()):
        raise DomainError("bad_path", f"{name!r} leads out of the worktree", status=422)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copy(source, target)
    return target


def _chosen(name: str) -> list[Place]:
    found = [place for place in places() if not name or name in (place.path.name, place.branch)]
    if name and not found:
        raise DomainError("not_found", f"there is no worktree {name!r}", status=404)
    return found


def _rescue(place: Place) -> Outcome:
    assert place.repo is not None
    if place.sealed:
        return Outcome(place.path.name, "kept", [], SEALED)
    try:
        return Outcome(place.path.name, "rescued", rescue(place.repo, place.path, place.branch))
    except (DomainError, ExternalError) as error:
        return Outcome(place.path.name, "kept", [], str(error))


def _clean(place: Place) -> Outcome:
    if place.in_use:
        return Outcome(place.path.name, "kept", [], IN_USE)
    if place.sealed:
        return Outcome(place.path.name, "kept", [], SEALED)
    if place.repo is None:
        reason = "no worktree any more: look at its files and delete it yourself"
        return Outcome(place.path.name, "kept", [], reason)
    try:
        refs = remove_worktree(place.repo, place.path, place.branch)
    except (DomainError, ExternalError) as error:
        return Outcome(place.path.name, "kept", [], str(error))
    return Outcome(place.path.name, "removed", refs)
