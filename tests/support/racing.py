"""Services on PostgreSQL from several threads at once, each with a connection of its own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from voidlux_site.databases import database_of

WAIT_S = 20.0
TABLES_OF_DJANGO = frozenset({"django_migrations", "django_content_type", "auth_permission"})


@dataclass(frozen=True)
class Database:
    """A node's database on a server, reached as the node's settings do it."""

    url: str

    def connect(self) -> BaseDatabaseWrapper:
        """Return a new connection for one thread."""
        settings = {"default": database_of(self.url, home=Path("/"), project=Path("/"))}
        return ConnectionHandler(settings).create_connection("default")

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Let this thread's services use the database until the block ends."""
        before = connections["default"]
        connections["default"] = self.connect()
        try:
            yield
        finally:
            connections["default"].close()
            connections["default"] = before

    def migrate(self) -> None:
        """Create the tables of this version of the code."""
        with self.used():
            call_command("migrate", interactive=False, verbosity=0)

    def clear(self) -> None:
        """Remove all rows that nodes write; quicker by far than a new database."""
        with self.used(), connections["default"].cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")  # no foreign keys meanwhile
            for table in connections["default"].introspection.table_names(cursor):
                if table not in TABLES_OF_DJANGO:
                    cursor.execute(f'DELETE FROM "{table}"')

    def race(self, *calls: Callable[[], Any]) -> list[Any]:
        """Run all calls at the same time; what each returned, or the exception that it raised."""
        start = threading.Barrier(len(calls))

        def run(call: Callable[[], Any]) -> Any:
            with self.used():
                connections["default"].ensure_connection()
                start.wait(WAIT_S)
                try:
                    return call()
                except Exception as error:
                    return error

        with ThreadPoolExecutor(len(calls)) as threads:
            return list(threads.map(run, calls))

    def has_waiter(self) -> bool:
        """Tell whether a connection waits for a lock that another one holds."""
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database "
                "WHERE NOT granted AND d.datname = current_database()"
            )
            return bool(cursor.fetchone()[0])

    def await_waiter(self) -> None:
        """Wait until a connection waits for a lock; AssertionError after WAIT_S."""
        deadline = time.monotonic() + WAIT_S
        while not self.has_waiter():
            assert time.monotonic() < deadline, "nobody waits for a lock"
            time.sleep(0.01)
