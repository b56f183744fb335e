"""Git through its own program: clones, worktrees, pushes and merges that never lose work."""
