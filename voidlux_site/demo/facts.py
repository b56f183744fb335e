"""What happened, read back from the nodes' APIs and from the git remote after the story.

Nothing here is remembered from the telling: the demo's report and its checks see only this.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2p.protocol.errors import ExternalError
from voidlux_site.demo.books import verifying
from voidlux_site.demo.client import Json
from voidlux_site.demo.nodes import NodeProcess, Nodes
from voidlux_site.demo.repository import Remote, run_product, run_tests
from voidlux_site.demo.runs import runs_of
from voidlux_site.demo.worktrees import describe_leftovers

FACTS_VERSION = 3


@dataclass(frozen=True)
class Stage:
    """Where the story took place: its nodes, its remote, its goal and a folder for a clone.

    `outage` says what became of the node that was killed; `last_facts` is what that node said of
    itself before, because nobody can ask it any more.
    """

    nodes: Nodes
    remote: Remote
    goal_id: str
    folder: Path
    outage: Json
    last_facts: Mapping[str, Json]


def collect(stage: Stage, timings: dict[str, float]) -> Json:
    """Return all facts of the trade as JSON-ready data; raises what NodeClient and git raise."""
    known, repository = stage.last_facts, stage.remote.path
    nodes = [
        known.get(node.plan.name) or describe_node(node, repository) for node in stage.nodes.all
    ]
    api = stage.nodes.buyer.api
    goal = api.get(f"/tasks/{stage.goal_id}")
    runs = runs_of(nodes)
    return {
        "version": FACTS_VERSION,
        "nodes": nodes,
        "goal": {**goal, "events": api.items(f"/tasks/{stage.goal_id}/events")},
        "subtasks": [
            _describe_subtask(stage, task["id"], runs)
            for task in api.items(f"/tasks/{stage.goal_id}/subtasks")
        ],
        "evidence": api.get(f"/tasks/{stage.goal_id}/evidence"),
        "remote": _describe_remote(stage, goal),
        "outage": stage.outage,
        "timings": {**timings, "agent_work_s": round(sum(run["seconds"] for run in runs), 1)},
    }


def verify_books(facts: Json, nodes: Nodes) -> None:
    """Add to the facts what `ledger verify` finds on every node; raises ExternalError."""
    with verifying(nodes.all) as books:
        verified = books.findings()
    for node in facts["nodes"]:
        node["verified"] = verified[node["name"]]


def describe_node(node: NodeProcess, repository: Path) -> Json:
    """Return what a running node says of itself, and what it left in its worktrees."""
    api, plan = node.api, node.plan
    status = api.get("/status")
    return {
        "name": plan.name,
        "part": plan.part,
        "swarm": status["swarm"],
        "role": status["role"],
        "node_id": status["node_id"],
        "agents": status["agents"]["total"],
        "wallet": api.get("/wallet"),
        "ledger": list(reversed(api.items("/wallet/ledger"))),
        "statement": api.get("/wallet/statement"),
        "tributes": list(reversed(api.items("/tributes"))),
        "attempts": list(reversed(api.items("/attempts"))),
        "troubled_jobs": status["troubled_jobs"],
        "worktrees": describe_leftovers(node.home, repository),
    }


def _describe_subtask(stage: Stage, task_id: str, runs: list[Json]) -> Json:
    api = stage.nodes.buyer.api
    task = api.get(f"/tasks/{task_id}")
    events = api.items(f"/tasks/{task_id}/events")
    own = [_with_what_stayed(stage, task, run) for run in runs if run["task_id"] == task_id]
    return {**task, "events": events, "runs": _with_outcomes(task, events, own)}


def _with_what_stayed(stage: Stage, task: Json, run: Json) -> Json:
    """Say whether what a run left on the remote is part of the result that was accepted."""
    head = stage.remote.branches().get(run["branch"], "")
    kept = bool(head and task["commit"]) and stage.remote.contains(task["commit"], head)
    return {**run, "kept": kept}


def _with_outcomes(task: Json, events: list[Json], runs: list[Json]) -> list[Json]:
    """Say of each run what became of it: the last one ended the task, the others went back."""
    sent_back = [
        event["reason"]
        for event in events
        if event["target"] == "pending"
        and event["source"] not in ("", "blocked")
        and not event["evidence"].get("not_begun")
    ]
    final = events[-1]["reason"] if events else task["status"]
    reasons = [*sent_back, *[final] * len(runs)]
    return [{**run, "outcome": reason} for run, reason in zip(runs, reasons, strict=False)]


def _describe_remote(stage: Stage, goal: Json) -> Json:
    remote, branch = stage.remote, f"integrate/{stage.goal_id[:8]}"
    branches = remote.branches()
    head = branches.get(branch, "")
    facts: dict[str, Any] = {
        "branch": branch,
        "head": head,
        "base_commit": remote.base_commit,
        "branches": branches,
        "log": remote.log(head) if head else [],
        "integrated": _integrated(stage, head) if head else [],
    }
    return {**facts, **(_try_out(stage, branch) if head else {"tests": None, "product": ""})}


def _integrated(stage: Stage, head: str) -> list[str]:
    """Return the subtasks whose reported commit is part of the integrated history."""
    subtasks = stage.nodes.buyer.api.items(f"/tasks/{stage.goal_id}/subtasks")
    return [
        task["id"]
        for task in subtasks
        if task["commit"] and stage.remote.contains(head, task["commit"])
    ]


def _try_out(stage: Stage, branch: str) -> Json:
    """Clone the result as anybody would, run its tests and use it."""
    folder = stage.folder / "result"
    shutil.rmtree(folder, ignore_errors=True)
    commit = stage.remote.clone(branch, folder)
    tests = run_tests(folder, commit)
    try:
        product = run_product(folder)
    except OSError as error:
        raise ExternalError(f"the result cannot be run: {error}", retryable=False) from error
    return {
        "tests": {
            "command": tests.command,
            "commit": tests.commit,
            "exit_code": tests.exit_code,
            "tests_ran": tests.tests_ran,
            "output": tests.output,
        },
        "product": product,
    }
