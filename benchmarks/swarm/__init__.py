"""What the swarm layer costs: dispatch decisions and lists of the API."""
