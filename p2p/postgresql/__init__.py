"""Django's PostgreSQL backend with SQLite's promise: one writer of a node's database at a time."""
