"""Finds every commit that a worktree or its agent ever made, and keeps it on a ref."""

from swarm.git.rescue.rescuing import confirmed_refs, keep_local, rescue

__all__ = ["confirmed_refs", "keep_local", "rescue"]
