"""How much this node may do at once: tasks, CPU load and memory, by its settings."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Count

from p2p.protocol.errors import DomainError
from swarm.agents.adapters import all_tools
from swarm.models import Agent

MEASURE_EVERY_S = 1.0
MIB = 1024 * 1024


def describe_capacity() -> dict[str, Any]:
    """Return the node's caps, what is used of them, and why it takes no new work, if so."""
    environment = settings.ENVIRONMENT
    return {
        "tasks": tasks_now(),
        "tasks_max": environment.max_concurrent_tasks,
        "load_per_core": round(load_per_core(), 2),
        "load_per_core_max": environment.load_per_core_max,
        "memory_free_mb": memory_free_mb(),
        "memory_free_mb_min": environment.memory_free_mb_min,
        "full_because": full_because(),
    }


def full_because() -> str:
    """Return which cap keeps this node from new work, with value and limit; empty for none."""
    environment = settings.ENVIRONMENT
    if 0 < environment.max_concurrent_tasks <= tasks_now():
        return f"{tasks_now()} tasks run, at most {environment.max_concurrent_tasks} are allowed"
    if 0 < environment.load_per_core_max < load_per_core():
        limit = environment.load_per_core_max
        return f"the load per core is {load_per_core():.2f}, at most {limit:.2f} is allowed"
    free = memory_free_mb()
    if free is not None and free < environment.memory_free_mb_min:
        return f"{free} MiB of memory are free, at least {environment.memory_free_mb_min} must be"
    return ""


def tools_in_full_use() -> list[str]:
    """Return the tools whose `max_concurrent_tasks` is reached on this node."""
    try:
        capped = {tool.name: tool.max_concurrent_tasks for tool in all_tools().values()}
    except DomainError:
        return []  # said where the tool's file is used
    limits = {name: limit for name, limit in capped.items() if limit}
    if not limits:
        return []
    rows = Agent.objects.filter(attempt__isnull=False, tool__in=limits).order_by()
    used = dict(rows.values_list("tool").annotate(number=Count("id")))
    return [name for name, limit in limits.items() if used.get(name, 0) >= limit]


def tasks_now() -> int:
    """Return how many tasks this node's agents have now."""
    return Agent.objects.filter(attempt__isnull=False).count()


def load_per_core() -> float:
    """Return the load average of the last minute, divided by the number of cores."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def memory_free_mb() -> int | None:
    """Return how many MiB of memory programs could still get; None where nobody says."""
    return _memory_free_mb(int(time.monotonic() / MEASURE_EVERY_S))


@lru_cache(maxsize=1)
def _memory_free_mb(_second: int) -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return int(rest.split()[0]) * 1024 // MIB
    except (OSError, ValueError):
        return None
    return None
