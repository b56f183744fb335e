"""Worktrees over REST: what is at stake in them, rescue, clean-up, and decisions about hooks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Field, Router, Schema
from pydantic import ConfigDict

from p2p.clock import now_utc
from p2p.local import local_node
from swarm.git.upkeep import clones_of
from swarm.worktrees import actions
from swarm.worktrees.listing import describe_place, places, rescue_refs
from swarm.worktrees.room import full_reason
from swarm.worktrees.trust import Decision, decisions, distrust

router = Router(tags=["worktrees"])


class WorktreeIn(Schema):
    """Which worktree is meant, by name or branch; all of them without one."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=300)] = ""


class HookIn(Schema):
    """The repository and the hook (its digest, or the beginning of it) to decide on."""

    model_config = ConfigDict(extra="forbid")

    repository: Annotated[str, Field(min_length=1, max_length=512)]
    # Not optional: who decides over REST must say which text was shown.
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]


@router.get("/worktrees", summary="List worktrees")
def list_all(request: HttpRequest) -> dict[str, Any]:
    """Every worktree with task, branch, size (MB), what the remote lacks, and rescue refs."""
    clones = clones_of(local_node().home)
    return {
        "items": [describe_place(place) for place in places()],
        "rescue_refs": {clone.url: rescue_refs(clone) for clone in clones},
        "no_room": full_reason(),
    }


@router.post("/worktrees/rescue", summary="Rescue worktrees")
def rescue(request: HttpRequest, body: WorktreeIn | None = None) -> dict[str, Any]:
    """Push what the remote lacks to rescue refs; the worktrees stay as they are."""
    return {"items": [asdict(each) for each in actions.rescue_all((body or WorktreeIn()).name)]}


@router.post("/worktrees/clean", summary="Clean worktrees up")
def clean(request: HttpRequest, body: WorktreeIn | None = None) -> dict[str, Any]:
    """Rescue and remove worktrees that nobody works in; the others are named with the reason."""
    return {"items": [asdict(each) for each in actions.clean((body or WorktreeIn()).name)]}


@router.get("/worktrees/hooks", summary="List hooks of repositories")
def list_hooks(request: HttpRequest) -> dict[str, Any]:
    """Hooks that repositories ask for, with their text and since when they are trusted."""
    found = [(clone, each) for clone in clones_of(local_node().home) for each in decisions(clone)]
    return {"items": [describe_hook(clone.url, each) for clone, each in found]}


@router.post("/worktrees/hooks/trust", summary="Trust a hook")
def trust(request: HttpRequest, body: HookIn) -> dict[str, Any]:
    """Trust exactly this text from now on; 404 where no such hook was seen."""
    repo = actions.repository_named(body.repository)
    made = actions.trust_hooks(repo, body.digest, now=now_utc())
    return {"items": [describe_hook(repo.url, each) for each in made]}


@router.post("/worktrees/hooks/distrust", summary="Take trust in a hook back")
def take_back(request: HttpRequest, body: HookIn) -> dict[str, Any]:
    """Do not run this text any more; 404 where no such hook was seen."""
    repo = actions.repository_named(body.repository)
    made = distrust(repo, body.digest)
    return {"items": [describe_hook(repo.url, each) for each in made]}


def describe_hook(repository: str, decision: Decision) -> dict[str, Any]:
    """Return a hook and the decision about it as JSON-ready data."""
    return {"repository": repository, **asdict(decision), "trusted": bool(decision.trusted_at)}
