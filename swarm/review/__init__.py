"""The review of reported commits: by a person or a command, before the gate merges them."""
