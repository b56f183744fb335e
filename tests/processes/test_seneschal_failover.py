"""A Seneschal before three real nodes: their emperor dies, and its clients stay where they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.processes.conftest import MakeNode
from tests.processes.test_seneschal import SECRET, Process
from tests.support.nodes import HOST, RealNode, free_ports, start_all
from tests.support.waiting import wait_for

QUICK = {
    "auth_secret": SECRET,
    "emperor_heartbeat_s": "0.5",
    "emperor_stale_s": "3",
    "candidacy_s": "0.5",
}


@pytest.fixture
def nodes(make_node: MakeNode) -> list[RealNode]:
    first = make_node("first", worker=False, role="emperor", **QUICK)
    seeds = {"seeds": first.address}
    second = make_node("second", worker=False, role="worker", **seeds, **QUICK)
    third = make_node("third", worker=False, role="worker", **seeds, **QUICK)
    start_all(first, second, third)
    return [first, second, third]


@pytest.fixture
def seneschal(nodes: list[RealNode], tmp_path: Path) -> Iterator[tuple[Process, int]]:
    home = tmp_path / "seneschal"
    home.mkdir()
    p2p_port, http_port = free_ports(2)
    process = Process(
        home,
        f"--p2p-port={p2p_port}",
        f"--http-port={http_port}",
        seeds=nodes[0].address,
        seneschal_hold_s="60",
        **QUICK,
    )
    process.launch()
    yield process, http_port
    process.end()


def told_emperors(process: Process) -> list[str]:
    return [line.split()[1].rstrip(",") for line in process.lines() if line.startswith("emperor: ")]


async def test_a_killed_emperor_costs_its_clients_a_moment(
    nodes: list[RealNode], seneschal: tuple[Process, int]
) -> None:
    first, *others = nodes
    process, port = seneschal
    url = f"http://{HOST}:{port}/api/swarm/health"
    await wait_for(lambda: told_emperors(process) == [first.node_id[:8]])
    async with aiohttp.ClientSession() as client:
        async with client.get(f"http://{HOST}:{port}/seneschal/health") as answer:
            # By then it is linked to others than its seed, which is about to die.
            assert (await answer.json())["address"] == f"http://{HOST}:{first.http_port}"
        await _until_linked(client, port)

        await asyncio.to_thread(first.kill9)
        async with client.get(url) as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})

    crowned = told_emperors(process)
    assert len(crowned) == 2
    assert crowned[1] in {each.node_id[:8] for each in others}


async def _until_linked(client: aiohttp.ClientSession, port: int) -> None:
    ends_at = time.monotonic() + 30
    while time.monotonic() < ends_at:
        async with client.get(f"http://{HOST}:{port}/seneschal/health") as answer:
            if (await answer.json())["links"] == 3:
                return
        await asyncio.sleep(0.1)
    raise AssertionError("not linked to all nodes")
