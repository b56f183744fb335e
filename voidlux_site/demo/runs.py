"""Runs of agents, as the nodes that made them tell of them."""

from __future__ import annotations

from datetime import datetime

from voidlux_site.demo.client import Json


def runs_of(nodes: list[Json]) -> list[Json]:
    """Return all runs of nodes (`node_id`, `attempts`) by task, in the order of dispatch."""
    runs = [
        {
            "task_id": attempt["task_id"],
            "attempt": attempt["number"],
            "generation": attempt["generation"],
            "node_id": node["node_id"],
            "agent": attempt["agent"] or "",
            "hired": attempt["tribute_id"] is not None,
            "status": attempt["status"],
            "branch": attempt["branch"],
            "commit": attempt["commit"],
            "exit_code": attempt["exit_code"],
            "error": attempt["error"],
            "seconds": _duration_s(attempt),
        }
        for node in nodes
        for attempt in node["attempts"]
    ]
    return sorted(runs, key=lambda run: (run["task_id"], run["generation"]))


def seconds_between(start: str, end: str) -> float:
    """Return the seconds between two RFC 3339 times."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _duration_s(attempt: Json) -> float:
    if not attempt["ended_at"]:
        return 0.0
    return round(seconds_between(attempt["created_at"], attempt["ended_at"]), 1)
