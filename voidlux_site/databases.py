"""Which database a node uses, SQLite in its home or DATABASE_URL, and what it is known by."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import dj_database_url

SQLITE = "django.db.backends.sqlite3"
POSTGRESQL = "django.db.backends.postgresql"
SQLITE_OPTIONS: dict[str, Any] = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": ("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"),
}
# Writers wait for each other as long as on SQLite, and one that hangs is thrown out.
POSTGRESQL_OPTIONS: dict[str, Any] = {
    "options": "-c lock_timeout=20s -c idle_in_transaction_session_timeout=60s",
}


def database_of(url: str, *, home: Path, project: Path) -> dict[str, Any]:
    """Return Django's settings of the database at `url`; without one, of SQLite in `home`.

    A relative path of SQLite is taken from `project`, whatever the working directory is.
    """
    if not url:
        return _sqlite({"ENGINE": SQLITE, "NAME": str(home / "voidlux.sqlite3")}, home, project)
    database: dict[str, Any] = dict(dj_database_url.parse(url))
    if database["ENGINE"] == SQLITE:
        return _sqlite(database, home, project)
    if database["ENGINE"] == POSTGRESQL:
        database["ENGINE"] = "p2p.postgresql"
        database["OPTIONS"] = {**POSTGRESQL_OPTIONS, **database.get("OPTIONS", {})}
    return database


def channel_prefix(url: str, home: Path) -> str:
    """Return what keeps a node's events apart from those of other nodes on the same Redis.

    A node has one database: all its web processes name the same one, and no other node does.
    """
    digest = hashlib.sha256((url or str(home)).encode()).hexdigest()
    return f"voidlux-{digest[:32]}"


def _sqlite(database: dict[str, Any], home: Path, project: Path) -> dict[str, Any]:
    # The worker has another working directory; a relative name must mean the same file.
    if database["NAME"] != ":memory:":
        database["NAME"] = str(project / database["NAME"])
    database["OPTIONS"] = {**SQLITE_OPTIONS, **database.get("OPTIONS", {})}
    # A file, not shared memory: tests of races need the locks of the real thing.
    database["TEST"] = {"NAME": str(home / "test.sqlite3")}
    return database
