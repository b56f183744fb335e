"""What sold work runs in at this node, as its offerings say."""

from __future__ import annotations

from typing import Literal


def isolation_of_sold_work() -> Literal["sandbox", "worktree"]:
    """Return what this node runs sold work in."""
    return "worktree"
