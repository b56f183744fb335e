"""Members that listen on every interface name no address of their own, and are reached anyway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.conftest import P2P_PORT, HostedNode
from tests.support.deals import outline
from tests.support.namespaces import switched_hosts
from tests.support.nodes import start_all
from tests.support.waiting import wait_for

SHARED = {"swarm": "helios", "auth_secret": "a secret of sixteen or more", "host": "0.0.0.0"}


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[tuple[HostedNode, HostedNode]]:
    """An emperor and a worker, on two machines."""
    with switched_hosts(2) as switch:
        first, second = switch.hosts
        # Under these names the test asks them; members need none.
        names = [{"allowed_hosts": each.address} for each in (first, second)]
        emperor = HostedNode(
            tmp_path / "emperor", switch, first, role="emperor", **SHARED, **names[0]
        )
        seeds = {"seeds": f"{first.address}:{P2P_PORT}"}
        worker = HostedNode(
            tmp_path / "worker", switch, second, role="worker", **SHARED, **seeds, **names[1]
        )
        try:
            start_all(emperor, worker)
            yield emperor, worker
        finally:
            for node in (emperor, worker):
                node.end()


async def test_a_goal_that_is_submitted_at_another_machine_reaches_the_emperor(
    swarm: tuple[HostedNode, HostedNode],
) -> None:
    emperor, worker = swarm
    await wait_for(lambda: (worker.get("/election")["emperor"] or {}).get("address"))

    goal = worker.post("/tasks", {"description": outline("true"), "repository": "/srv/r.git"})

    assert worker.get("/election")["emperor"]["address"] == f"http://{emperor.host}:9091"
    assert [task["id"] for task in emperor.items("/tasks")] == [goal["id"]]
