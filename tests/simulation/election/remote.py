"""The one git remote, which every side of a partition reaches: refs, compared and swapped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from swarm.replication.messages import Term


class Merged(NamedTuple):
    """A commit of the integration branch: whose result it merges, and under which term."""

    task: str
    commit: str
    term: Term


class Fence(NamedTuple):
    """What `refs/voidlux/gate/...` points to: whose term, and the head pushed with it."""

    term: Term
    head: tuple[Merged, ...]


class Shown(NamedTuple):
    """What the remote shows of a goal in one answer."""

    head: tuple[Merged, ...] = ()
    fence: Fence | None = None


@dataclass
class Remote:
    """Branches and fences of all goals, and their pull requests."""

    leased: bool = True
    goals: dict[str, Shown] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def look(self, goal: str) -> Shown:
        """Show branch and fence together."""
        return self.goals.get(goal, Shown())

    def swap(self, goal: str, seen: Shown, new: Shown) -> bool:
        """Push both refs in one step, with leases on what was seen; tell whether it was taken."""
        if self.leased and self.look(goal) != seen:
            return False
        self.goals[goal] = new
        return True

    def swap_head(self, goal: str, seen: Shown, head: tuple[Merged, ...]) -> bool:
        """Push the branch alone, with a lease on it."""
        if self.look(goal).head != seen.head:
            return False
        self.goals[goal] = self.look(goal)._replace(head=head)
        return True
