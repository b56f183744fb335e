"""An emperor and two workers of one swarm on a simulated cluster."""

from __future__ import annotations

from dataclasses import dataclass

from swarm.models import Agent, Attempt, Task, TaskCopy
from swarm.replication import terms
from swarm.replication.heartbeats import beat
from swarm.replication.messages import AGENTS, TASKS
from swarm.services import attempts, goals, reports
from swarm.services.dispatch import dispatch_ready
from swarm.services.goals import requeue_lapsed
from swarm.states import AttemptStatus, TaskStatus
from tests.support.cluster import Cluster, SimNode
from tests.support.trading import BASE, COMMIT, add_ready_agent, judge, outline

CHAIN = """# A chain

- [ ] First
  ```sh
  true
  ```
- [ ] Second (after: 1)
  ```sh
  true
  ```
"""


@dataclass
class Swarm:
    """Three members; every method acts as one of them."""

    cluster: Cluster
    emperor: SimNode
    workers: tuple[SimNode, SimNode]

    @classmethod
    def open(cls, cluster: Cluster, *, agents: int = 1) -> Swarm:
        """Set the members up: an emperor without agents, and idle agents at both workers."""
        emperor = cluster.add("emperor", swarm="home")
        first = cluster.add("first", swarm="home", role="worker")
        second = cluster.add("second", swarm="home", role="worker")
        swarm = cls(cluster, emperor, (first, second))
        with cluster.acting(emperor):
            terms.take_office(cluster.now)
        for worker in swarm.workers:
            with cluster.acting(worker):
                for number in range(1, agents + 1):
                    add_ready_agent(f"{worker.name}-{number}", cluster)
        swarm.beat()
        swarm.talk()
        return swarm

    @property
    def members(self) -> tuple[SimNode, ...]:
        return self.emperor, *self.workers

    def talk(self, rounds: int = 4) -> None:
        """Let everything arrive without time passing."""
        for _ in range(rounds):
            self.cluster.collect()
            self.cluster.deliver()

    def beat(self) -> None:
        """Let every member give its heartbeat."""
        for node in self.members:
            with self.cluster.acting(node):
                beat(self.cluster.now)

    def sync(self) -> None:
        """Let the members pull each other's records, as they do every minute."""
        for topic in (TASKS, AGENTS):
            for to in self.members:
                for of in self.members:
                    if of is not to and frozenset((to.name, of.name)) not in self.cluster.cut:
                        self.cluster.sync(to, of, topic)

    def goal(self, subtasks: int = 1, text: str = "") -> Task:
        """Submit and plan a goal at the emperor."""
        with self.cluster.acting(self.emperor):
            request = goals.GoalRequest(
                description=text or outline(subtasks), repository="/srv/remote.git"
            )
            goal = goals.create_goal(request, now=self.cluster.now)
            goals.store_plan(goal.id, base_branch="main", base_commit=BASE, now=self.cluster.now)
        return goal

    def dispatch(self) -> int:
        """Dispatch at the emperor."""
        with self.cluster.acting(self.emperor):
            return dispatch_ready(self.cluster.now)

    def subtasks(self, goal: Task) -> list[Task]:
        """Return a goal's subtasks as the emperor has them, in plan order."""
        with self.cluster.acting(self.emperor):
            return list(Task.objects.filter(parent_id=goal.id).order_by("number"))

    def statuses(self, goal: Task) -> list[str]:
        """Return the statuses of a goal's subtasks as the emperor has them, in plan order."""
        return [task.status for task in self.subtasks(goal)]

    def copies(self, node: SimNode, goal: Task) -> list[TaskCopy]:
        """Return a goal's subtasks as another member knows them, in plan order."""
        with self.cluster.acting(node):
            return list(TaskCopy.objects.filter(parent_id=goal.id).order_by("number"))

    def runs(self, node: SimNode) -> list[Attempt]:
        """Return all runs of a node, oldest first."""
        with self.cluster.acting(node):
            return list(Attempt.objects.select_related("agent").order_by("created_at"))

    def agent(self, node: SimNode) -> Agent:
        """Return the only agent of a node."""
        with self.cluster.acting(node):
            return Agent.objects.get()

    def begin(self, node: SimNode, *, progress: str = "compiling") -> None:
        """Let a node's queued runs begin, with a sign of life."""
        with self.cluster.acting(node):
            for attempt in Attempt.objects.filter(status=AttemptStatus.QUEUED):
                for target in (AttemptStatus.PREPARING, AttemptStatus.WORKING):
                    attempts.move_attempt(attempt.id, target, now=self.cluster.now)
                reports.report_progress(attempt, progress, now=self.cluster.now)

    def finish(self, node: SimNode) -> int:
        """Let a node's open runs end well; returns how many did."""
        with self.cluster.acting(node):
            working = list(Attempt.objects.filter(status=AttemptStatus.WORKING))
            for attempt in working:
                attempts.move_attempt(attempt.id, AttemptStatus.PUSHING, now=self.cluster.now)
                attempts.succeed(attempt.id, commit=COMMIT, output="done", now=self.cluster.now)
        return len(working)

    def gate(self) -> int:
        """Accept every reported subtask at the emperor as the gate would; returns how many."""
        with self.cluster.acting(self.emperor):
            reported = list(Task.objects.filter(status=TaskStatus.PENDING_REVIEW))
            for task in reported:
                judge(task, TaskStatus.COMPLETED, self.cluster)
        return len(reported)

    def sweep(self) -> None:
        """Let the emperor requeue what has lost its lease."""
        with self.cluster.acting(self.emperor):
            requeue_lapsed(self.cluster.now)
