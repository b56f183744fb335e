"""The gate's and the forge's word on whose goal it is, asked of the database and the remote.

A swarm that can have no members has no other emperor to fence off: its remotes get no fence.
"""

from __future__ import annotations

from dataclasses import replace

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.protocol.errors import ExternalError
from swarm.git.fence import Fence
from swarm.git.repository import Repository
from swarm.models import Task
from swarm.replication import terms
from swarm.replication.messages import Term


def hold_fence(goal: Task, repository: Repository) -> Fence | None:
    """Make sure that nobody of a lower term can push for a goal; None where no fence is needed.

    Fenced where the remote names a higher term, NotEmperor where this node is in no office. An
    own goal's first fence comes with its first push; that of a goal taken over comes at once.
    """
    own = _term_in_office()
    if own is None:
        return None
    fence = Fence(repository, goal.id, own)
    shown = fence.look()
    is_taken_over = goal.created_by != local_node().node_id
    if not fence.is_ours(shown) and (shown.fence or is_taken_over):
        fence.raise_over(shown)
    return replace(fence, seen=shown)


def hold_fence_of(goal: Task) -> Fence | None:
    """Do as `hold_fence` for a completed goal, whose clone is made where there is none yet."""
    terms.require_emperor()
    if not terms.has_members():
        return None
    repository = Repository(goal.repository, local_node().home)
    repository.ensure(goal.merged_commit)
    return hold_fence(goal, repository)


def require_same_office(fence: Fence | None) -> None:
    """Raise unless this node is still in the office in which it took the fence.

    NotEmperor out of office; ExternalError (retryable) in a later one: what was judged since then
    may rest on what another emperor has changed.
    """
    own, begun = _term_in_office(), fence.own if fence else None
    if own != begun:
        words = [f"term {each.counter}" if each else "no members" for each in (begun, own)]
        message = f"the gate began under {words[0]}, and it is {words[1]} now"
        raise ExternalError(message, retryable=True)


def _term_in_office() -> Term | None:
    """Return this node's term, None in a swarm without members; NotEmperor out of office."""
    terms.require_emperor()
    return terms.own_term(now_utc()) if terms.has_members() else None
