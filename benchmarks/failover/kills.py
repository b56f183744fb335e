"""Seconds from kill -9 of a swarm's emperor until another one acts.

    python -m benchmarks.failover.kills [runs]

One swarm of three real nodes goes through all runs: whoever was killed is started again, follows,
and the next run kills whoever is emperor then.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx

from benchmarks.swarm.result import print_rounds
from tests.support.nodes import RealNode
from tests.support.trio import QUICK, Trio

T = TypeVar("T")
RUNS = 20
WITHIN_S = 60.0
LOOK_EVERY_S = 0.01
SEED = 1
ELECTED = "kill -9 to another member in office"
FOLLOWED = "kill -9 to all members following it"
ACTING = "kill -9 to a goal accepted by it"
P99, LONGEST = f"{ACTING}, p99", f"{ACTING}, longest"
# Nobody can do it, so that nothing but the election is at work while the next run is measured.
GOAL = "# Wait\n\n- [ ] For an agent that nobody has\n  needs: patience\n  ```sh\n  true\n  ```\n"


async def main(runs: int) -> None:
    """Measure and print."""
    found: dict[str, list[float]] = {ELECTED: [], ACTING: [], FOLLOWED: []}
    chance = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        trio = Trio.open(Path(folder))
        try:
            trio.start()
            for _ in range(runs):
                emperor = await trio.settled()
                # At any moment between two heartbeats.
                await asyncio.sleep(chance.uniform(0.0, float(QUICK["emperor_heartbeat_s"])))
                for name, seconds in lose(trio, emperor).items():
                    found[name].append(seconds)
                emperor.start()
        finally:
            trio.end()
    print_rounds("s", found | summed_up(found[ACTING]))


def lose(trio: Trio, emperor: RealNode) -> dict[str, float]:
    """Kill the emperor; seconds until another is in office, has a goal, and is followed."""
    others = trio.others(emperor)
    for node in others:
        node.get("/health")  # so that no connection is to be opened while time is taken
    began = time.monotonic()
    emperor.crash()
    heir = _until(lambda: next((node for node in others if _is_in_office(node)), None))
    elected = time.monotonic()
    goal_id = _until(lambda: _accepted(trio, heir))
    acting = time.monotonic()
    _until(lambda: all(_follows(node, heir) for node in others) or None)
    followed = time.monotonic()
    heir.post(f"/tasks/{goal_id}/cancel")
    return {ELECTED: elected - began, ACTING: acting - began, FOLLOWED: followed - began}


def summed_up(seconds: list[float]) -> dict[str, list[float]]:
    """Return what nearly all runs stay below until a goal is accepted, and the longest one."""
    several = len(seconds) > 1
    p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98] if several else seconds[0]
    return {P99: [p99], LONGEST: [max(seconds)]}


def _until(look: Callable[[], T | None]) -> T:
    ends_at = time.monotonic() + WITHIN_S
    while time.monotonic() < ends_at:
        if (seen := look()) is not None:
            return seen
        time.sleep(LOOK_EVERY_S)
    raise RuntimeError(f"nothing was seen within {WITHIN_S:g} s")


def _is_in_office(node: RealNode) -> bool:
    return bool(node.get("/election")["standing"] == "emperor")


def _follows(node: RealNode, emperor: RealNode) -> bool:
    followed = node.get("/election")["emperor"]
    return followed is not None and followed["node_id"] == emperor.node_id


def _accepted(trio: Trio, node: RealNode) -> str | None:
    body = {"description": GOAL, "repository": str(trio.remote.path), "test_command": "true"}
    answer = node.api.post("/tasks", json=body)
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return None
    made = answer.raise_for_status().json()
    return str(made["id"]) if made["emperor_node_id"] == node.node_id else None


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS))
