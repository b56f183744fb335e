"""Where an attempt lives on this node's disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

from p2p.local import local_node
from swarm.models import Attempt


def worktree_of(attempt: Attempt) -> Path:
    """Return the worktree of an attempt: one per branch of a repository, and buyer or term."""
    # Who pays chooses its task ids, so that a branch alone could be that of another's work. A run
    # of the swarm stays where it began: its assigner changes with the emperor, its term does not.
    whose = attempt.assigner_node_id if attempt.tribute_id else f"term {attempt.term}"
    whose = f"{whose} {attempt.repository}"
    digest = hashlib.sha256(whose.encode()).hexdigest()[:8]
    return local_node().home / "worktrees" / f"{attempt.branch.replace('/', '-')}-{digest}"


def run_dir_of(attempt: Attempt) -> Path:
    """Return the folder with the evidence of an attempt's run."""
    return local_node().home / "runs" / attempt.id.hex


def agent_dir(name: str) -> Path:
    """Return the folder in which an agent's session starts."""
    return local_node().home / "agents" / name
