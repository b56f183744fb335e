"""How much a page of 10,000 tasks costs over the API, against its bare query.

    python benchmarks/swarm/api_list.py [tasks]

The bare query loads the same rows of the same page. The limit is three times of it.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.swarm.scratch import figure, scratch_node, show, times_ms

PAGE = 50
ROUNDS = 60
LIMIT = 3.0


def main(tasks: int) -> int:
    """Measure and print; return 1 when the page costs more than the limit."""
    from datetime import timedelta

    from django.test import RequestFactory

    from p2p.clock import now_utc
    from swarm.models import Task
    from swarm.states import TaskStatus
    from swarm.task_api import TaskQuery, list_tasks

    now = now_utc()
    Task.objects.bulk_create(
        Task(
            title=f"t{n}",
            status=TaskStatus.FAILED if n % 2 else TaskStatus.PLANNING,
            repository="/srv/r.git",
            created_by="a" * 32,
            created_at=now + timedelta(milliseconds=n),
            updated_at=now,
        )
        for n in range(tasks)
    )
    request = RequestFactory().get("/api/swarm/tasks")
    middle = _cursor_in_the_middle(list_tasks(request, TaskQuery(limit=PAGE)), tasks)
    query = TaskQuery(limit=PAGE, cursor=middle)

    def bare() -> None:
        rows = Task.objects.filter(archived_at__isnull=True).order_by("-created_at", "-pk")
        assert len(
            list(rows.filter(created_at__lt=now + timedelta(milliseconds=tasks // 2))[:PAGE])
        )

    def page() -> None:
        assert len(list_tasks(request, query)["items"]) == PAGE

    times_ms(bare, 5), times_ms(page, 5)
    bare_ms, page_ms = times_ms(bare, ROUNDS), times_ms(page, ROUNDS)
    ratio = statistics.median(page_ms) / statistics.median(bare_ms)
    show(
        [
            figure(f"bare query of {PAGE} of {tasks} tasks", bare_ms),
            figure(f"page of {PAGE} of {tasks} tasks", page_ms, ratio=ratio, ratio_to="bare query"),
        ]
    )
    return int(ratio > LIMIT)


def _cursor_in_the_middle(first_page: dict, tasks: int) -> str:  # type: ignore[type-arg]
    from p2p.paging import _encode
    from swarm.models import Task

    assert first_page["next_cursor"]
    return _encode(Task.objects.order_by("-created_at")[tasks // 2], "created_at")


if __name__ == "__main__":
    with scratch_node():
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
