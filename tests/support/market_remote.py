"""The git remote of a market: what was pushed there, and what the gate found good."""

from __future__ import annotations

import random
from uuid import UUID

from swarm.models import Attempt

NOWHERE = "d" * 40  # a commit that no remote has


class Remote:
    """Commits on branches, as the seller's agents push them; `chance` names the commits."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._pushed: list[tuple[str, str]] = []
        self.proven: set[tuple[UUID, str]] = set()
        self.writable = True

    def toggle(self) -> None:
        """Let the remote answer no more, or again."""
        self.writable = not self.writable

    def commit_of(self, attempt: Attempt, how: str) -> str:
        """Return the commit that a run reports; it was pushed only where `how` is `good`.

        `foreign` is one of another run, `wrong` another one than was pushed, `none` not pushed.
        """
        if how == "foreign" and self._pushed:
            return self._pushed[0][1]
        commit = self._chance.randbytes(20).hex()
        if how in ("good", "wrong"):
            self._pushed.append((attempt.branch, commit))
        return NOWHERE if how == "wrong" else commit

    def shows(self, branch: str, commit: str) -> bool:
        """Tell whether a run has pushed the commit that it reports to that branch."""
        return (branch, commit) in self._pushed
