"""A database of its own for one measurement."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def scratch_node() -> Iterator[None]:
    """Set Django up on an empty, migrated database in a home that goes with the block."""
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(DJANGO_SETTINGS_MODULE="voidlux_site.settings", VOIDLUX_HOME=home)
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", interactive=False, verbosity=0)
        yield


def cpu_ms(work: Callable[[], object], rounds: int) -> list[float]:
    """Return how much CPU time (milliseconds) of this process each of `rounds` calls took."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        taken.append((time.process_time() - began) * 1000)
    return taken


def times_ms(work: Callable[[], object], rounds: int) -> list[float]:
    """Return how long (milliseconds) each of `rounds` calls took."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return taken
