"""Opens a goal's pull request, or finds and updates the one that is there already."""

from __future__ import annotations

from p2p.clock import now_utc
from swarm.forge import services
from swarm.forge.body import draft_of
from swarm.forge.choosing import forge_for
from swarm.forge.contract import Draft, Forge, Seen
from swarm.forge.failures import ForgeError
from swarm.forge.gh import GhForge
from swarm.forge.models import PullRequest
from swarm.forge.states import PullState
from swarm.gate.fencing import hold_fence_of

EXISTS = frozenset({409, 422})  # how GitLab and GitHub refuse a second one


def open_pull(pull: PullRequest) -> None:
    """Make the forge show the pull request; repeating it changes nothing there.

    Fenced or NotEmperor where its goal is another emperor's by now.
    """
    forge = forge_for(pull)
    if isinstance(forge, GhForge) and not pull.number and not forge.is_logged_in():
        services.forget_pull(pull, "gh is not logged in", now=now_utc())
        return
    hold_fence_of(pull.goal)
    seen = _made_sure(forge, draft_of(pull))
    now = now_utc()
    found = services.record_seen(pull, seen, now=now)
    if seen.state == PullState.OPEN:
        services.schedule_look(found, now=now)


def _made_sure(forge: Forge, draft: Draft) -> Seen:
    """Find before opening: a worker may have died between its request and its row."""
    seen = forge.find(draft.head)
    if seen is None:
        try:
            return forge.open(draft)
        except ForgeError as refused:
            seen = forge.find(draft.head) if refused.status in EXISTS else None
            if seen is None:
                raise
    if seen.state == PullState.OPEN:
        forge.update(seen.number, draft)
    return seen
