"""How long a swarm is without an emperor when its own is killed, and what its proxy costs."""
