"""A database of its own for one measurement, and how its figures are printed."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def scratch_node() -> Iterator[None]:
    """Set Django up on an empty, migrated database in a home that goes with the block."""
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(DJANGO_SETTINGS_MODULE="voidlux_site.settings", VOIDLUX_HOME=home)
        sys.path.insert(0, str(ROOT))
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", interactive=False, verbosity=0)
        yield


def times_ms(work: Callable[[], object], rounds: int) -> list[float]:
    """Return how long (milliseconds of this process's CPU) each of `rounds` calls took.

    The embedded database is part of the process, so that nothing is left out by this.
    """
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        taken.append((time.process_time() - began) * 1000)
    return taken


def figure(
    name: str, taken_ms: list[float], *, ratio: float | None = None, ratio_to: str = ""
) -> dict[str, object]:
    """Return one figure: the median in milliseconds, with a ratio where one is claimed."""
    return {
        "name": name,
        "value": round(statistics.median(taken_ms), 3),
        "low": round(min(taken_ms), 3),
        "high": round(max(taken_ms), 3),
        "unit": "ms of CPU",
        "ratio": None if ratio is None else round(ratio, 2),
        "ratio_to": ratio_to,
    }


def show(figures: list[dict[str, object]]) -> None:
    """Print the figures with the machine that they are of, as JSON."""
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    print(json.dumps({"machine": machine, "figures": figures}, indent=2))
