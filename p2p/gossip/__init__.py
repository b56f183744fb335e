"""Push gossip without sockets: eager frames along a tree, lazy ids beside it, repair on demand."""
