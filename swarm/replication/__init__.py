"""What the members of a swarm know of each other: terms, copies of tasks, agents and their life."""
