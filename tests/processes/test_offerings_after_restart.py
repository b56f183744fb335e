"""Nodes that are started again from cold agree on what is for sale."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.processes.conftest import MakeNode
from tests.protocol_client.client import Client
from tests.support.nodes import HOST, ROOT, RealNode, start_all
from tests.support.waiting import wait_for

pytestmark = pytest.mark.faults

ONE_ROUND_S = 20.0  # less than the pause between two rounds


def for_sale(node: RealNode) -> list[tuple[str, str, int]]:
    """Return (id, state, price) of all live offerings, in the order of the list."""
    items = node.items("/offerings")
    return [(each["id"], each["state"], each["price_per_task"]) for each in items]


def offer(node: RealNode, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py offer` beside a running node."""
    return subprocess.run(
        [sys.executable, "manage.py", "offer", *arguments],
        cwd=ROOT,
        env={**os.environ, **node.environment()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_two_nodes_restarted_from_cold_show_the_same_offerings(make_node: MakeNode) -> None:
    one = make_node("one")
    other = make_node("other", seeds=one.address)
    start_all(one, other)
    here = await Client.connect(HOST, one.p2p_port)
    gone, *stay = [here.announce(idle_agents=1, price_per_task=price) for price in (1, 2, 3)]
    await wait_for(lambda: for_sale(one) == for_sale(other) and len(for_sale(one)) == 3)

    # Each misses something: one is away for a withdrawal, the other for an announcement.
    other.kill9()
    here.withdraw(gone)
    await wait_for(lambda: [each[0] for each in for_sale(one)] == stay)
    await here.close()
    one.kill9()
    other.start()
    there = await Client.connect(HOST, other.p2p_port)
    late = there.announce(idle_agents=1, price_per_task=4)
    await wait_for(lambda: late in [each[0] for each in for_sale(other)])
    await there.close()
    other.stop()

    start_all(one, other)

    wanted = [*stay, late]
    await wait_for(
        lambda: [each[0] for each in for_sale(one)] == wanted and for_sale(other) == for_sale(one),
        ONE_ROUND_S,
    )
    assert {state for _, state, _ in for_sale(other)} == {"live"}


async def test_the_policy_outlives_the_node_and_the_shell_shows_it(make_node: MakeNode) -> None:
    node = make_node("seller", agents="2").start()
    await wait_for(lambda: all(each["status"] == "ready" for each in node.items("/agents")))
    done = offer(node, "on", "--price", "7", "--keep", "1", "--acceptance", "manual", "--json")
    assert done.returncode == 0, done.stderr
    policy: dict[str, Any] = json.loads(done.stdout)
    assert (policy["offering"]["idle_agents"], policy["price_per_task"]) == (1, 7)
    assert [each["change"] for each in policy["history"]] == ["announced"]

    node.stop()
    node.start()
    await wait_for(lambda: [each[2] for each in for_sale(node)] == [7])

    plain = offer(node).stdout.splitlines()
    assert plain[0] == "selling: on"
    assert plain[1].startswith("offered: 1 agents at 7 VOID until ")
    assert "agents_kept: 1" in plain
    assert "acceptance: manual" in plain
    assert "\x1b" not in "".join(plain)

    refused = offer(node, "set", "--hours", "25:00-99:00")
    assert refused.returncode == 1
    assert "HH:MM-HH:MM from 00:00 to 23:59 is allowed" in refused.stderr
    assert offer(node, "set").stderr.startswith("CommandError: nothing to set")

    off = offer(node, "off").stdout.splitlines()
    assert off[:2] == ["selling: off", "offered: nothing: selling is off"]
    assert for_sale(node) == []
