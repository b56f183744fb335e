"""A batch of ready subtasks: merged in memory, tested, and searched for its culprits."""
