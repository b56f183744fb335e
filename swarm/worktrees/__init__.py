"""What an attempt's worktree gets besides its checkout: files, hooks, room, care and an end."""
