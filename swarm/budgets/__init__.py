"""What work may cost: usage as tools report it, limits of tasks and agents, and pauses."""
