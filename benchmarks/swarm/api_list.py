"""How much a page of 10,000 tasks costs over the API, against its bare query.

    python -m benchmarks.swarm.api_list [tasks]

The bare query loads the same rows of the same page.
"""

from __future__ import annotations

import sys

from benchmarks.swarm.result import print_rounds
from benchmarks.swarm.scratch import scratch_node, times_ms

PAGE = 50
ROUNDS = 60


def main(tasks: int) -> None:
    """Measure and print."""
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
    print_rounds("ms", {"list: bare query": bare_ms, "list: page of the API": page_ms})


def _cursor_in_the_middle(first_page: dict, tasks: int) -> str:  # type: ignore[type-arg]
    from p2p.paging import _encode
    from swarm.models import Task

    assert first_page["next_cursor"]
    return _encode(Task.objects.order_by("-created_at")[tasks // 2], "created_at")


if __name__ == "__main__":
    with scratch_node():
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
