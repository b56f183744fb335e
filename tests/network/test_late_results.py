"""A member that was cut off reports what another has long been given: refused, and not lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.git.command import run_git
from tests.network.conftest import P2P_PORT, HostedNode
from tests.support.deals import gate_file, small_repository, submit
from tests.support.namespaces import Switch, switched_hosts
from tests.support.nodes import start_all
from tests.support.waiting import wait_for

SECRET = "a secret of sixteen or more"
LEASE_S = 10
LINKED_S = 60.0


@pytest.fixture
def switch() -> Iterator[Switch]:
    """Two hosts and what joins them."""
    with switched_hosts(2) as made:
        yield made


@pytest.fixture
def swarm(switch: Switch, tmp_path: Path) -> Iterator[tuple[HostedNode, HostedNode]]:
    """An emperor that has no agents and waits only shortly, and a worker with one."""
    shared = {"swarm": "helios", "auth_secret": SECRET}
    first, second = switch.hosts
    emperor = HostedNode(
        tmp_path / "emperor",
        switch,
        first,
        worker=True,
        role="emperor",
        lease_s=str(LEASE_S),
        **shared,
    )
    worker = HostedNode(
        tmp_path / "worker",
        switch,
        second,
        role="worker",
        agents="1",
        seeds=f"{first.address}:{P2P_PORT}",
        **shared,
    )
    try:
        start_all(emperor, worker)
        yield emperor, worker
    finally:
        for node in (emperor, worker):
            node.end()


async def test_a_late_completion_of_an_old_generation_is_refused_and_its_commit_kept(
    swarm: tuple[HostedNode, HostedNode], switch: Switch, tmp_path: Path
) -> None:
    emperor, worker = swarm
    began, first, second = (tmp_path / name for name in ("began", "first", "second"))
    block = (
        f"if [ $VOIDLUX_ATTEMPT = 1 ]; then touch {began}; {gate_file(first)}; "
        f"else {gate_file(second)}; fi; echo by $VOIDLUX_ATTEMPT > who.txt"
    )
    await wait_for(lambda: [a["status"] for a in emperor.items("/agents")] == ["ready"], LINKED_S)
    remote = small_repository(tmp_path / "git")
    goal = await submit(emperor, remote.path, block)
    await wait_for(began.exists)

    switch.part([emperor.place], [worker.place])
    await wait_for(lambda: goal.statuses() == ["pending"], LINKED_S)
    emperor.post("/agents", {"name": "home-1"})
    await wait_for(lambda: goal.statuses() == ["in_progress"])
    first.touch()
    await wait_for(lambda: [run["status"] for run in worker.items("/attempts")] == ["succeeded"])
    [late] = worker.items("/attempts")
    switch.mend()

    await wait_for(lambda: "refused" in worker.items("/attempts")[0]["error"], LINKED_S)
    error = worker.items("/attempts")[0]["error"]
    assert error.startswith("the assigner refused the report: ")
    assert error.endswith("report of generation 1, the current one is 2")
    [task] = goal.subtasks()
    assert (task["status"], task["attempt"]) == ("in_progress", 2)
    assert task["assigned_agent"] == "home-1"
    second.touch()

    assert (await goal.ended())["status"] == "completed"
    [task] = goal.subtasks()
    assert task["commit"] != late["commit"]
    shown = [
        run_git(["show", f"{commit}:who.txt"], cwd=remote.path).stdout
        for commit in (task["merged_commit"], late["commit"])
    ]
    assert shown == ["by 2\n", "by 1\n"]
    reported = [reason for _, reason in goal.reasons() if "reports" in reason]
    assert reported == [f"home-1 at {emperor.node_id[:8]} reports {task['commit'][:8]}"]
