"""The dashboard: one server-rendered page whose parts follow the node's events."""
