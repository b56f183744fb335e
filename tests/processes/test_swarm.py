"""Two real nodes of one swarm: the emperor has no agents and uses those of its worker."""

from __future__ import annotations

from pathlib import Path

from tests.processes.conftest import MakeNode
from tests.support.deals import gate_file, small_repository, submit
from tests.support.nodes import RealNode, start_all
from tests.support.waiting import wait_for

SECRET = "a secret of sixteen or more"


def a_swarm(make_node: MakeNode) -> tuple[RealNode, RealNode]:
    emperor = make_node("emperor", swarm="helios", auth_secret=SECRET, role="emperor")
    worker = make_node(
        "worker",
        swarm="helios",
        auth_secret=SECRET,
        role="worker",
        agents="1",
        seeds=emperor.address,
    )
    return emperor, worker


async def test_the_emperor_ends_a_goal_with_its_workers_agents(
    make_node: MakeNode, tmp_path: Path
) -> None:
    emperor, worker = a_swarm(make_node)
    start_all(emperor, worker)
    go = tmp_path / "go"
    await wait_for(lambda: [a["status"] for a in emperor.items("/agents")] == ["ready"])

    goal = await submit(emperor, small_repository(tmp_path / "git").path, gate_file(go))
    await wait_for(lambda: goal.statuses() == ["in_progress"])

    [task] = goal.subtasks()
    [agent] = emperor.items("/agents")
    assert (task["assigned_node"], task["assigned_agent_id"]) == (worker.node_id, agent["id"])
    assert (agent["own"], agent["node_id"]) == (False, worker.node_id)
    assert emperor.get("/status")["agents"] == {"total": 0, "ready": 0}
    await wait_for(
        lambda: (
            [t["status"] for t in worker.items(f"/tasks/{goal.goal_id}/subtasks")]
            == ["in_progress"]
        )
    )
    shown = worker.get(f"/tasks/{goal.goal_id}")
    assert (shown["emperor_node_id"], shown["status"]) == (emperor.node_id, "in_progress")

    budget = {"token_limit": 70_000}
    set_there = worker.api.post(f"/tasks/{goal.goal_id}/budget", json=budget)
    assert (set_there.status_code, set_there.json()["id"]) == (200, goal.goal_id)
    assert emperor.get(f"/tasks/{goal.goal_id}/events")["items"][-1]["reason"] == (
        "budget: token_limit=70000"
    )

    go.touch()
    assert (await goal.ended())["status"] == "completed"
    await wait_for(lambda: worker.get(f"/tasks/{goal.goal_id}")["status"] == "completed")
    await wait_for(lambda: worker.get("/status")["agents"]["ready"] == 1)
    assert [run["status"] for run in worker.items("/attempts")] == ["succeeded"]
    assert emperor.items("/attempts") == []


async def test_cancel_stops_the_run_at_the_worker(make_node: MakeNode, tmp_path: Path) -> None:
    emperor, worker = a_swarm(make_node)
    start_all(emperor, worker)
    await wait_for(lambda: [a["status"] for a in emperor.items("/agents")] == ["ready"])
    goal = await submit(
        emperor, small_repository(tmp_path / "git").path, gate_file(tmp_path / "never")
    )
    await wait_for(lambda: goal.statuses() == ["in_progress"])

    emperor.post(f"/tasks/{goal.goal_id}/cancel", {"reason": "not needed"})

    await wait_for(lambda: [r["status"] for r in worker.items("/attempts")] == ["cancelled"])
    await wait_for(lambda: [a["status"] for a in emperor.items("/agents")] == ["ready"])
