"""Two members of a swarm on one remote, and goals that change hands between them.

Each has a home, a clone and a database of its own; what the new one knows it has from records.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from p2p.clock import now_utc
from swarm import jobs as runner
from swarm.election.adoption import adopt_tasks
from swarm.gate.gate import run_gate
from swarm.models import Job, Task
from swarm.replication import terms
from swarm.services import jobs
from swarm.states import JobStatus
from tests.support.cluster import Cluster, SimNode


class Killed(BaseException):
    """The node is gone: nothing of what it would have done next is done."""


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
        pair = cls(cluster, old, new)
        pair.tell()
        return pair

    @contextmanager
    def at(self, node: SimNode) -> Iterator[None]:
        """Act as one of them."""
        with self.cluster.acting(node):
            yield

    def tell(self) -> None:
        """Let all that was said up to now arrive."""
        self.cluster.now = datetime.now(UTC)
        for _ in range(4):
            self.cluster.collect()
            self.cluster.deliver()

    def take_over(self) -> int:
        """Put the new one in office with all goals that it was told of; returns how many tasks."""
        with self.at(self.new):
            terms.take_office(self.cluster.now, 2)
            return adopt_tasks(self.cluster.now)

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
