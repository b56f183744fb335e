"""One node process per database: a lock of the session that holds it, gone with its connection."""

from __future__ import annotations

from django.db import OperationalError, connection

from p2p.protocol.errors import DomainError

NODE_LOCK = 0x566F_6964_4C75_79
# A node that was just killed may keep its session until the server has noticed.
WAIT_S = 3


def become_its_node() -> None:
    """Hold the database for this connection; DomainError `database_in_use` after WAIT_S seconds.

    On SQLite the lock of the home, in which the file lies, says the same.
    """
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{WAIT_S}s'")
        try:
            cursor.execute("SELECT pg_advisory_lock(%s)", [NODE_LOCK])
        except OperationalError as error:
            name = connection.settings_dict["NAME"]
            raise DomainError(
                "database_in_use", f"DATABASE_URL names {name}, which another node process uses"
            ) from error
        finally:
            cursor.execute("RESET lock_timeout")
