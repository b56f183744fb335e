"""Two members of a swarm on one remote, and goals that change hands between them.

Each has a home, a clone and a database of its own. What the new emperor knows of the old one's
tasks is given to it as rows, as of any moment: how they come there is not what is tested.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q

from p2p.clock import now_utc
from swarm import jobs as runner
from swarm.gate.gate import run_gate
from swarm.models import Job, KnownTerm, Task
from swarm.replication import terms
from swarm.services import jobs
from swarm.states import JobStatus
from tests.support.cluster import Cluster, SimNode


class Killed(BaseException):
    """The node is gone: nothing of what it would have done next is done."""


@dataclass(frozen=True)
class Rows:
    """A goal and its subtasks as they were at some moment."""

    tasks: list[Task]
    depends_on: dict[uuid.UUID, list[uuid.UUID]]


@dataclass
class Pair:
    """The emperor of term 1, and the member that takes its goals over."""

    cluster: Cluster
    old: SimNode
    new: SimNode

    @classmethod
    def open(cls, cluster: Cluster, **environment: Any) -> Pair:
        """Set both up, the old one in office."""
        cluster.now = datetime.now(UTC)
        old = cluster.add("old", swarm="home", **environment)
        new = cluster.add("new", swarm="home", role="worker", **environment)
        with cluster.acting(old):
            terms.take_office(cluster.now)
        return cls(cluster, old, new)

    @contextmanager
    def at(self, node: SimNode) -> Iterator[None]:
        """Act as one of them."""
        with self.cluster.acting(node):
            yield

    def rows(self, goal_id: uuid.UUID) -> Rows:
        """Return what the old one has of a goal."""
        with self.at(self.old):
            tasks = list(Task.objects.filter(Q(id=goal_id) | Q(parent_id=goal_id)))
            needs = {task.id: [each.id for each in task.depends_on.all()] for task in tasks}
        return Rows(sorted(tasks, key=lambda task: task.parent_id is not None), needs)

    def take_over(self, rows: Rows) -> None:
        """Put the new one in office, above the old one's term, with a goal to go on with."""
        with self.at(self.new):
            KnownTerm.objects.get_or_create(
                node_id=self.old.node_id, defaults={"counter": 1, "known_at": self.cluster.now}
            )
            terms.take_office(self.cluster.now, 2)
            for task in rows.tasks:
                Task.objects.bulk_create([task])
            for task in rows.tasks:
                task.depends_on.set(rows.depends_on[task.id])

    def judge(self, goal_id: uuid.UUID) -> Task:
        """Run the gate at the new one; returns the goal."""
        with self.at(self.new):
            run_gate(Task.objects.get(id=goal_id))
            return Task.objects.get(id=goal_id)

    def subtasks(self, node: SimNode, goal_id: uuid.UUID) -> list[Task]:
        """Return a goal's subtasks as one of them has them, in plan order."""
        with self.at(node):
            return list(Task.objects.filter(parent_id=goal_id).order_by("number"))


def run_waiting(*kinds: str) -> list[Job]:
    """Run each waiting job of these kinds once, whenever it is due; returns them as they ended."""
    ran = []
    for job in list(Job.objects.filter(status=JobStatus.QUEUED, kind__in=kinds).order_by("id")):
        Job.objects.filter(id=job.id).update(due_at=job.created_at)
        claimed = jobs.claim(job.id, now=now_utc())
        assert claimed is not None, f"{job} was not taken"
        runner._run(claimed)
        ran.append(Job.objects.get(id=job.id))
    return ran
