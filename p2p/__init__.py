"""Identity, wire, mesh and gossip: the layer that knows nothing above it."""
