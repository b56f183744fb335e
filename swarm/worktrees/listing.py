"""All worktrees of a node with what is at stake in them: for the API and the command."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2p.local import local_node
from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents.isolation import in_cell
from swarm.agents.places import run_dir_of, worktree_of
from swarm.git.removal import known_unpushed
from swarm.git.repository import Repository
from swarm.git.rescue.rescuing import RESCUE_ROOT
from swarm.git.upkeep import clones_of
from swarm.git.worktrees import Worktree, list_worktrees
from swarm.models import Attempt
from swarm.states import ATTEMPT_TERMINAL
from swarm.worktrees.preparation import describe, read_record
from swarm.worktrees.room import used_mb, worktrees_dir

GATE_DIR = ".merge"
SEALED = "sold work is in a sandbox there: its files are looked at when its run is over"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a worktree, or what was moved aside, and whose it is where that is known."""

    path: Path
    repo: Repository | None
    tree: Worktree | None
    attempt: Attempt | None

    @property
    def kind(self) -> str:
        """`attempt`, `gate` (the merge gate's own), `other`, or `aside` (no worktree any more)."""
        if self.tree is None:
            return "aside"
        if self.attempt is not None:
            return "attempt"
        return "gate" if GATE_DIR in self.path.parts else "other"

    @property
    def in_use(self) -> bool:
        """Whether an attempt that has not ended, or the gate, works there."""
        open_attempt = self.attempt is not None and self.attempt.status not in ATTEMPT_TERMINAL
        return self.kind == "gate" or open_attempt

    @property
    def sealed(self) -> bool:
        """Whether sold work is, or was, in a sandbox there, so that git must not look at it yet."""
        return self.attempt is not None and in_cell(self.attempt)

    @property
    def branch(self) -> str:
        """The branch whose name the rescue refs carry."""
        if self.attempt is not None:
            return self.attempt.branch
        return self.tree.branch if self.tree and self.tree.branch else self.path.name


def places() -> list[Place]:
    """Return all worktrees of this node's clones and what else lies beside them, by path."""
    attempts = {worktree_of(each).resolve(): each for each in _attempts()}
    found = {
        tree.path: Place(tree.path, clone, tree, attempts.get(tree.path))
        for clone in clones_of(local_node().home)
        for tree in list_worktrees(clone)
    }
    for path in _folders():
        found.setdefault(path, Place(path, None, None, attempts.get(path)))
    return sorted(found.values(), key=lambda place: place.path)


def describe_place(place: Place) -> dict[str, Any]:
    """Return a place as JSON-ready data; what the remote lacks is as of the last fetch."""
    attempt, tree = place.attempt, place.tree
    preparation = read_record(run_dir_of(attempt)) if attempt is not None else None
    return {
        "name": place.path.name,
        "path": str(place.path),
        "kind": place.kind,
        "in_use": place.in_use,
        "repository": place.repo.url if place.repo else "",
        "branch": place.branch,
        "head": tree.head if tree else "",
        "task_id": attempt.task_id.hex if attempt else None,
        "title": attempt.title if attempt else "",
        "attempt_id": attempt.id.hex if attempt else None,
        "attempt_status": attempt.status if attempt else "",
        "mb": round(used_mb(place.path), 1),
        "at_stake": _at_stake(place),
        "rescue_refs": rescue_refs(place.repo, place.branch) if place.repo else [],
        "preparation": describe(preparation) if preparation is not None else None,
    }


def rescue_refs(repo: Repository, branch: str = "") -> list[str]:
    """Return the clone's rescue refs: those of a branch, or all."""
    below = f"{RESCUE_ROOT}/{branch}" if branch else RESCUE_ROOT
    return repo.git("for-each-ref", "--format=%(refname)", below).stdout.split()


def _at_stake(place: Place) -> list[str]:
    if place.repo is None:
        return ["no worktree any more: its files are in no clone"]
    if place.sealed:
        return [SEALED]
    try:
        return known_unpushed(place.repo, place.path)
    except (DomainError, ExternalError) as error:
        return [str(error)]


def _attempts() -> list[Attempt]:
    return list(Attempt.objects.filter(worktree_removed_at__isnull=True).order_by("created_at"))


def _folders() -> Iterator[Path]:
    folder = worktrees_dir()
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.is_dir() and path.name != GATE_DIR)
