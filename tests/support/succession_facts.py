"""Facts of a flawless succession as plain data; tests spoil one thing at a time."""

from __future__ import annotations

from typing import Any

OLD, NEW = "0" * 31 + "1", "0" * 31 + "2"
GOAL = "60" * 16
FIRST, SECOND = "c1" * 16, "c2" * 16
FIRST_COMMIT, SECOND_COMMIT, LOST_COMMIT, HEAD = "1" * 40, "2" * 40, "3" * 40, "e" * 40


def flawless_succession() -> dict[str, Any]:
    """Return facts of two members: one subtask was merged, one was taken from the dead emperor."""
    return {
        "swarm": "andromeda",
        "killed": {
            "name": "andromeda",
            "node_id": OLD,
            "pid": 4713,
            "term": 1,
            "at": "2030-01-01T00:01:00+00:00",
            "merged": [FIRST],
            "at_work": [SECOND],
            "pushed": {"task/c1c1c1c1": FIRST_COMMIT},
            "kept": {FIRST_COMMIT: True},
        },
        "members": [
            _member("andromeda", OLD, "follower"),
            _member("andromeda-2", NEW, "emperor"),
        ],
        "seneschal": {"emperor": NEW, "term": 2, "counters": {"requests": 50}},
        "goals": [
            {
                "id": GOAL,
                "title": "Flight plan",
                "status": "completed",
                "events": [],
                "subtasks": [
                    _subtask(FIRST, 1, "Name", FIRST_COMMIT, OLD),
                    _subtask(SECOND, 2, "Route", SECOND_COMMIT, NEW),
                ],
                "remote": {
                    "branch": "integrate/60606060",
                    "head": HEAD,
                    "merges": [FIRST_COMMIT, SECOND_COMMIT],
                    "fence": {
                        "ref": "refs/voidlux/gate/60606060",
                        "term": 2,
                        "node_id": NEW,
                        "head": HEAD,
                    },
                },
            }
        ],
        "browser": {
            "url": "http://127.0.0.1:9090",
            "logins": 1,
            "before": {"status": 200, "path": "/", "cookie": "ab" * 8},
            "after": {"status": 200, "path": "/", "cookie": "ab" * 8},
            "looks": {"answered": 40, "otherwise": [], "refused": 0, "longest_s": 3.4},
            "live": [_websocket(OLD, 1012, resync=False), _websocket(NEW, None, resync=True)],
            "goals": {GOAL: "completed"},
        },
        "timings": {"vacant_s": 3.5, "goal_s": 22.1, "back_s": 6.5},
    }


def _member(name: str, node_id: str, standing: str) -> dict[str, Any]:
    return {
        "name": name,
        "node_id": node_id,
        "standing": standing,
        "emperor": NEW,
        "term": 2,
        "goals": {GOAL: "completed"},
    }


def _subtask(task_id: str, number: int, title: str, commit: str, node_id: str) -> dict[str, Any]:
    run = {
        "task_id": task_id,
        "attempt": 1,
        "generation": 1,
        "node_id": OLD,
        "agent": "andromeda-000000-1",
        "hired": False,
        "status": "failed",
        "branch": "",
        "commit": "",
        "error": "process 4711 is gone without an exit on record",
        "seconds": 9.0,
    }
    good = {**run, "node_id": node_id, "status": "succeeded", "commit": commit, "seconds": 1.5}
    lost = [run] if node_id == NEW else []
    return {
        "id": task_id,
        "number": number,
        "title": title,
        "status": "completed",
        "attempt": 1 + len(lost),
        "assigned_node": node_id,
        "commit": commit,
        "merged_commit": HEAD,
        "events": [],
        "runs": [*lost, {**good, "attempt": 1 + len(lost)}],
    }


def _websocket(node_id: str, code: int | None, *, resync: bool) -> dict[str, Any]:
    return {
        "node_id": node_id,
        "opened_at": "2030-01-01T00:00:58+00:00",
        "seq": 7,
        "events": 5,
        "resync": resync,
        "close_code": code,
    }
