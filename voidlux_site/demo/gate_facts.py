"""What is known of red batches and conflicts, from the facts alone."""

from __future__ import annotations

from collections.abc import Iterator

from voidlux_site.demo.client import Json


def bisected(facts: Json) -> Iterator[Json]:
    """Yield each culprit that was found in a batch of several, and what became of it."""
    tasks = {task["id"]: task for task in facts["subtasks"]}
    searched: set[str] = set()
    for run in facts["evidence"]["merge_runs"]:
        if run["outcome"] == "split" and len(run["tasks"]) > 1:
            searched |= set(run["tasks"])
        for task_id in run["tasks"] if run["outcome"] == "red" else ():
            if task_id in searched and task_id in tasks:
                yield _told(tasks[task_id])


def conflicts(facts: Json) -> Iterator[Json]:
    """Yield each subtask that did not merge with the paths, and what became of it."""
    for task in facts["subtasks"]:
        for event in task["events"]:
            paths = event["evidence"].get("conflicts")
            if event["by"] == "gate" and event["target"] == "pending" and paths:
                yield {**_told(task), "paths": paths}


def count_test_runs(facts: Json) -> int:
    """Return how many test runs the gate needed; those whose worker died came to nothing."""
    return sum(run["state"] != "interrupted" for run in facts["evidence"]["test_runs"])


def _told(task: Json) -> Json:
    fixed = task["status"] == "completed" and task["attempt"] > 1
    return {"title": task["title"], "number": task["number"], "fixed": fixed}
