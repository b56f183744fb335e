"""Nodes that cannot start say why in one line; nodes that are stopped leave nothing but work."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes.conftest import MakeNode
from tests.support.deals import Deal, assert_books, gate_file, hire, money, small_repository, submit
from tests.support.nodes import HOST, ROOT, RealNode, start_all
from tests.support.waiting import wait_for
from tests.support.websockets import open_websocket

CANNOT_START = 2
STOP_WITHIN_S = 15.0
GOING_AWAY = 1001


def refused(node: RealNode) -> str:
    """Run `runnode`, which must not start, and return the one line that it says."""
    done = subprocess.run(
        [sys.executable, "manage.py", "runnode"],
        cwd=ROOT,
        env=node.environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (CANNOT_START, ""), done.stderr
    [line] = done.stderr.splitlines()
    return line


@pytest.fixture
def taken_port() -> object:
    """A port of the loopback on which somebody listens."""
    with socket.create_server((HOST, 0)) as listening:
        yield listening.getsockname()[1]


def test_a_second_node_in_one_home_is_refused_and_the_first_goes_on(make_node: MakeNode) -> None:
    first = make_node("node", worker=False).start()
    second = RealNode(first.home)

    line = refused(second)

    assert line == f"VOIDLUX_HOME {first.home} is used by the node with pid {first.pid}"
    assert first.is_healthy()
    assert "/uvloop/loop." in Path(f"/proc/{first.pid}/maps").read_text()


@pytest.mark.parametrize("which", ["p2p_port", "http_port"])
def test_a_port_in_use_is_named(which: str, make_node: MakeNode, taken_port: int) -> None:
    node = make_node("node", **{which: str(taken_port)})

    line = refused(node)

    variable = f"VOIDLUX_{which.upper()}"
    assert line == f"{variable} is {taken_port}: cannot listen on {HOST}: address already in use"
    assert node.processes() == {}


def test_a_wrong_setting_is_named(make_node: MakeNode) -> None:
    node = make_node("node", agents="many")

    assert refused(node) == "VOIDLUX_AGENTS is 'many': a whole number from 0 to 50 is allowed"


async def test_signals_end_a_busy_node_in_time_and_a_restart_goes_on_where_it_was(
    make_node: MakeNode, tmp_path: Path
) -> None:
    busy = await BusyNode.start(make_node("node", agents="2"), tmp_path)

    await assert_stops_and_leaves_only_work(busy.node, signal.SIGINT)
    busy.testing.unlink()
    busy.node.start()
    await busy.until_at_work()
    await assert_stops_and_leaves_only_work(busy.node, signal.SIGTERM)
    busy.go.touch()
    busy.node.start()

    for goal in (busy.tested, busy.worked):
        assert (await goal.ended())["status"] == "completed"
        assert [task["attempt"] for task in goal.subtasks()] == [1]


@dataclass(frozen=True)
class BusyNode:
    """A node in the middle of a gate's test run and of an agent's work, until `go` exists."""

    node: RealNode
    tested: Deal
    worked: Deal
    go: Path
    testing: Path

    @classmethod
    async def start(cls, node: RealNode, folder: Path) -> BusyNode:
        """Start the node and both goals; returns when the two are under way."""
        node.start()
        go, testing = folder / "go", folder / "testing"
        command = f"touch {testing}; {gate_file(go)}"
        one, two = (small_repository(folder / name).path for name in ("one", "two"))
        tested = await submit(node, one, "true", test_command=command)
        worked = await submit(node, two, gate_file(go))
        busy = cls(node, tested, worked, go, testing)
        await busy.until_at_work()
        return busy

    async def until_at_work(self) -> None:
        """Wait until the tests run and the agent works."""
        await wait_for(self.testing.exists, 60.0)
        await wait_for(lambda: self.worked.statuses() == ["in_progress"])


async def assert_stops_and_leaves_only_work(node: RealNode, number: signal.Signals) -> None:
    """Assert a clean end in time, with a goodbye to followers; one terminal stays with its run."""
    async with open_websocket(node) as websocket:
        closing = asyncio.create_task(websocket.close_code())
        assert await asyncio.to_thread(node.stop, number, STOP_WITHIN_S) == 0, node.log()
        assert await closing == GOING_AWAY
    assert "Traceback" not in node.log()
    assert node.processes() == {}
    assert len(node.sessions()) == 1


async def test_a_report_to_a_buyer_that_is_down_outlives_the_restart_of_both(
    market: tuple[RealNode, RealNode], tmp_path: Path
) -> None:
    buyer, seller = market
    go = tmp_path / "go"
    deal = await hire(
        await submit(buyer, small_repository(tmp_path / "git").path, gate_file(go)), seller
    )
    await wait_for(lambda: deal.statuses() == ["in_progress"])

    buyer.kill9()
    go.touch()
    await wait_for(lambda: seller.items("/attempts")[0]["status"] == "succeeded")
    assert await asyncio.to_thread(seller.stop) == 0
    start_all(buyer, seller)

    assert (await deal.ended())["status"] == "completed"
    await wait_for(lambda: deal.executions() == [("accepted", "committed")])
    assert deal.subtasks()[0]["attempt"] == 1
    assert (money(buyer), money(seller)) == ((995, 0), (1005, 0))
    assert_books([buyer, seller], grants=2000)
