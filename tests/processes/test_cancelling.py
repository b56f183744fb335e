"""Cancelling reaches the agent whatever it does, and what it had done so far is kept."""

from __future__ import annotations

from pathlib import Path

from tests.processes.conftest import MakeNode
from tests.support.deals import gate_file, hold_pushes, outline, small_repository, submit
from tests.support.nodes import RealNode
from tests.support.waiting import is_alive, wait_for


async def test_a_cancelled_run_is_stopped_and_its_work_is_pushed(
    make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node("node", agents="1").start()
    remote = small_repository(tmp_path / "git")
    pid = tmp_path / "pid"
    block = f"echo half > half.txt; echo $$ > {pid}; {gate_file(tmp_path / 'never')}"
    goal = await submit(node, remote.path, block)
    await wait_for(lambda: pid.exists() and pid.read_text().endswith("\n"))

    node.post(f"/tasks/{goal.goal_id}/cancel", {"reason": "not needed"})

    await wait_for(lambda: not is_alive(int(pid.read_text())))
    await wait_for(lambda: is_idle(node))
    assert (goal.goal()["status"], goal.goal()["error"]) == ("cancelled", "not needed")
    assert goal.statuses() == ["cancelled"]
    assert f"refs/heads/task/{goal.subtasks()[0]['id'][:8]}" in remote.refs()


async def test_a_goal_cancelled_during_the_push_of_its_work_ends_cleanly(
    make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node("node", agents="1").start()
    remote = small_repository(tmp_path / "git")
    arrived, go = tmp_path / "arrived", tmp_path / "go"
    hold_pushes(remote, arrived, go)
    goal = await submit(node, remote.path, "true")
    await wait_for(arrived.exists)

    node.post(f"/tasks/{goal.goal_id}/cancel")
    go.touch()

    await wait_for(lambda: is_idle(node))
    assert "Traceback" not in node.log()
    assert goal.statuses() == ["cancelled"]
    following = node.post(
        "/tasks", {"description": outline("true"), "repository": str(remote.path)}
    )
    await wait_for(lambda: node.get(f"/tasks/{following['id']}")["status"] == "completed")


def is_idle(node: RealNode) -> bool:
    """Tell whether the node's agent is ready and no worktree of a run is left."""
    agent = node.items("/agents")[0]
    worktrees = node.home / "worktrees"
    return agent["status"] == "ready" and not any(worktrees.iterdir())
