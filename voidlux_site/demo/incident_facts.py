"""What is known of questions and crashes, from the facts alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from voidlux_site.demo.client import Json

_GONE = re.compile(r"process (\d+) is gone without an exit on record")


def questions(facts: Json) -> Iterator[Json]:
    """Yield each subtask's last question with its answer and when the agent went on (seconds)."""
    for task in facts["subtasks"]:
        asked = task["question"]
        if asked is None:
            continue
        moves = [(each["source"], each["target"]) for each in task["events"]]
        answered = [each for each in task["events"] if _is_answer(each)]
        resumed = [
            each
            for each, move in zip(task["events"], moves, strict=True)
            if move == ("waiting_input", "in_progress")
        ]
        asked_first = any(target == "waiting_input" for _, target in moves)
        yield {
            "title": task["title"],
            "run": task["runs"][-1],
            "text": asked["text"],
            "answer": asked["answer"] if answered and asked_first else None,
            "went_on_s": _seconds(asked["answered_at"], resumed[-1]["at"]) if resumed else None,
            "task_done": task["status"] == "completed",
        }


def crashes(facts: Json) -> Iterator[Json]:
    """Yield each run whose process ended without a word, and what became of its task."""
    for task in facts["subtasks"]:
        for run in task["runs"]:
            gone = _GONE.match(run["error"])
            if gone is None or run["status"] != "failed" or not _went_back(task, run):
                continue
            later = [each for each in task["runs"] if each["attempt"] > run["attempt"]]
            yield {
                "title": task["title"],
                "pid": int(gone[1]),
                "run": run,
                "next": later[0] if later else None,
                "kept": run["kept"],
                "task_done": task["status"] == "completed" and bool(later),
            }


def _went_back(task: Json, run: Json) -> bool:
    """Tell whether the task's history says that this very run was lost."""
    return any(
        each["target"] == "pending"
        and each["evidence"].get("code") == "lost"
        and each["evidence"].get("error", "")[:200] == run["error"][:200]
        for each in task["events"]
    )


def _is_answer(event: Json) -> bool:
    return event["by"] == "operator" and bool(event["reason"].startswith("answered: "))


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
