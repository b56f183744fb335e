"""Changes to a ledger that the database would refuse, for tests of what finds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

TRIGGERS = ("ledger_entry_never_changed", "ledger_entry_never_deleted")


@contextmanager
def unsealed() -> Iterator[None]:
    """Let ledger entries of the acting node's SQLite database be changed for a while."""
    with connection.cursor() as cursor:
        names = ", ".join(f"'{name}'" for name in TRIGGERS)
        cursor.execute(
            f"SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name IN ({names})"
        )
        made = [row[0] for row in cursor.fetchall()]
        for name in TRIGGERS:
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
        try:
            yield
        finally:
            for sql in made:
                cursor.execute(sql)
