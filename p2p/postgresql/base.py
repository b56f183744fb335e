"""The database wrapper that Django finds under the engine name `p2p.postgresql`."""

from __future__ import annotations

from django.db.backends.postgresql import base

# Advisory locks belong to one database, and a database to one node: any number will do.
WRITER_LOCK = 0x566F_6964_4C75_78


class DatabaseWrapper(base.DatabaseWrapper):
    """Begins every transaction by waiting for the other ones, as IMMEDIATE does on SQLite.

    What a service reads inside its transaction then stays true until it commits, rows cannot be
    locked crosswise, and the ids of outbox rows rise in the order in which they can be seen.
    Statements outside transactions do not wait.
    """

    def set_autocommit(
        self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False
    ) -> None:
        """Leave autocommit by taking the writer's lock; OperationalError when it is not got."""
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        if autocommit:
            return
        try:
            with self.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WRITER_LOCK])
        except Exception:
            # Half in a transaction it could not be used again; the next use connects anew.
            self.close()
            raise
