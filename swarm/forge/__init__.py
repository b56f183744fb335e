"""Pull requests: what carries a goal's proved commit to the people who own the repository."""
