"""What became of a swarm whose emperor was killed, read back from its members and the remote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from voidlux_site.demo.client import Json, NodeClient
from voidlux_site.demo.nodes import NodeProcess, Nodes
from voidlux_site.demo.repository import Remote
from voidlux_site.demo.runs import runs_of
from voidlux_site.demo.seneschal import SeneschalProcess

FENCES = "refs/voidlux/gate"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Where it took place: the nodes, their one address, and what was noted on the way.

    `api` is a client of the address; `kill` says who was killed and what was under way then.
    """

    nodes: Nodes
    seneschal: SeneschalProcess
    api: NodeClient
    remote: Remote
    goal_ids: tuple[str, ...]
    kill: Json
    browser: Json


def emperor_seen(members: Sequence[NodeProcess]) -> tuple[str, int] | None:
    """Return the (node id, term) of the emperor that all members see; None while they differ."""
    seen = {_followed(node) for node in members}
    return seen.pop() if len(seen) == 1 else None


def collect_succession(scene: Scene, timings: dict[str, float]) -> Json:
    """Return all facts as JSON-ready data; raises what NodeClient and git raise."""
    members = scene.nodes.members
    runs = runs_of(
        [
            {"node_id": node.node_id, "attempts": list(reversed(node.api.items("/attempts")))}
            for node in members
        ]
    )
    health = scene.seneschal.health()
    return {
        "swarm": scene.seneschal.swarm,
        "killed": {**scene.kill, "kept": _kept(scene)},
        "members": [_describe_member(scene, node) for node in members],
        "seneschal": {name: health.get(name) for name in ("emperor", "term", "counters")},
        "goals": [_describe_goal(scene, goal_id, runs) for goal_id in scene.goal_ids],
        "browser": scene.browser,
        "timings": timings,
    }


def _followed(node: NodeProcess) -> tuple[str, int] | None:
    emperor = node.api.get("/election")["emperor"]
    return None if emperor is None else (emperor["node_id"], emperor["term"])


def _kept(scene: Scene) -> dict[str, bool]:
    """Say of each commit that the killed node had pushed whether a ref still leads to it."""
    return {commit: scene.remote.is_kept(commit) for commit in scene.kill["pushed"].values()}


def _describe_member(scene: Scene, node: NodeProcess) -> Json:
    election = node.api.get("/election")
    emperor = election["emperor"]
    return {
        "name": node.plan.name,
        "node_id": node.node_id,
        "standing": election["standing"],
        "emperor": emperor["node_id"] if emperor else None,
        "term": emperor["term"] if emperor else None,
        "goals": {each: node.api.get(f"/tasks/{each}")["status"] for each in scene.goal_ids},
    }


def _describe_goal(scene: Scene, goal_id: str, runs: list[Json]) -> Json:
    goal = scene.api.get(f"/tasks/{goal_id}")
    tasks = scene.api.items(f"/tasks/{goal_id}/subtasks")
    branch = f"integrate/{goal_id[:8]}"
    head = scene.remote.branches().get(branch, "")
    return {
        **goal,
        "events": scene.api.items(f"/tasks/{goal_id}/events"),
        "subtasks": [
            {
                **task,
                "events": scene.api.items(f"/tasks/{task['id']}/events"),
                "runs": [run for run in runs if run["task_id"] == task["id"]],
            }
            for task in tasks
        ],
        "remote": {
            "branch": branch,
            "head": head,
            "merges": scene.remote.merges(head) if head else [],
            "fence": _fence(scene.remote, f"{FENCES}/{goal_id[:8]}"),
        },
    }


def _fence(remote: Remote, ref: str) -> Json:
    try:
        told = json.loads(remote.message_at(ref))
    except ValueError:
        return {"ref": ref, "term": None, "node_id": None, "head": None}
    return {"ref": ref, **{name: told.get(name) for name in ("term", "node_id", "head")}}
