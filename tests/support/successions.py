"""Three members of a swarm whose emperor is lost, replaced, and comes back."""

from __future__ import annotations

from dataclasses import dataclass

from p2p.models import OutboxMessage
from swarm.election import office
from swarm.election.adoption import adopt_tasks
from swarm.models import Attempt, Task, TaskCopy, TaskEvent
from swarm.replication import terms
from swarm.services import asking, attempts
from swarm.services.dispatch import dispatch_ready
from swarm.states import ATTEMPT_TERMINAL, AttemptStatus
from tests.support.cluster import Cluster, SimNode
from tests.support.swarm_of_three import Swarm
from tests.support.trading import add_ready_agent

PLACES = ("third", "heir", "lost")


@dataclass
class Succession:
    """The old emperor `lost`, its `heir` and a `third` member; an agent at some of them."""

    swarm: Swarm
    cluster: Cluster
    lost: SimNode
    heir: SimNode
    third: SimNode

    @classmethod
    def open(cls, cluster: Cluster, *places: str) -> Succession:
        """Set the members up, with one idle agent at each of `places`."""
        swarm = Swarm.open(cluster, agents=0)
        made = cls(swarm, cluster, swarm.emperor, *swarm.workers)
        for place in places:
            with cluster.acting(made.at(place)):
                add_ready_agent(f"{place}-agent", cluster)
        swarm.beat()
        swarm.talk()
        return made

    def at(self, place: str) -> SimNode:
        """Return the member of a place: `third`, `heir` or `lost`."""
        return {"third": self.third, "heir": self.heir, "lost": self.lost}[place]

    def cut(self, *others: SimNode) -> None:
        """Take the old emperor from the network of `others` (all of them where none is named)."""
        for other in others or (self.heir, self.third):
            self.cluster.cut.add(frozenset((self.lost.name, other.name)))

    def mend(self) -> None:
        """Let everybody speak with everybody again."""
        self.cluster.cut.clear()

    def succeed(self) -> None:
        """Let the heir take office, and the third member follow it."""
        with self.cluster.acting(self.heir):
            terms.take_office(self.cluster.now)
            office.settle(self.cluster.now)
        self.swarm.talk()
        self.follow(self.third)
        self.swarm.talk()

    def follow(self, node: SimNode) -> None:
        """Let a member learn who is emperor, as its next tick would."""
        with self.cluster.acting(node):
            office.follow(self.heir.node_id, self.cluster.now)

    def come_back(self) -> None:
        """Let the old emperor back in: it learns of the new term and steps down."""
        self.mend()
        self.swarm.sync()
        with self.cluster.acting(self.lost):
            assert not terms.is_emperor()
        self.follow(self.lost)
        self.adopt()
        self.swarm.talk()
        self.swarm.beat()
        self.swarm.talk()

    def work(self, place: str = "third") -> Task:
        """Let the agent of a place work under the old emperor; returns the goal."""
        goal = self.swarm.goal(1)
        self.swarm.dispatch()
        self.swarm.talk()
        self.swarm.begin(self.at(place))
        self.swarm.talk()
        return goal

    def commands(self, number: int) -> list[OutboxMessage]:
        """Return the third member's commands of a number, oldest first."""
        with self.cluster.acting(self.third):
            rows = OutboxMessage.objects.filter(kind="command", number=number)
            return list(rows.order_by("id"))

    def adopt(self) -> int:
        """Let the heir look for tasks that were left, as it does every second."""
        with self.cluster.acting(self.heir):
            return adopt_tasks(self.cluster.now)

    def tasks(self, goal: Task, node: SimNode | None = None) -> list[Task]:
        """Return the subtasks that a member (the heir) moves itself, in plan order."""
        with self.cluster.acting(node or self.heir):
            return list(Task.objects.filter(parent_id=goal.id).order_by("number"))

    def task(self, goal: Task) -> Task:
        """Return the heir's only subtask of a goal."""
        [task] = self.tasks(goal)
        return task

    def dispatch(self) -> int:
        """Dispatch at the heir."""
        with self.cluster.acting(self.heir):
            return dispatch_ready(self.cluster.now)

    def copies(self, node: SimNode) -> list[TaskCopy]:
        """Return what a member holds of others' tasks."""
        with self.cluster.acting(node):
            return list(TaskCopy.objects.order_by("created_at", "number"))

    def open_runs(self) -> dict[str, list[Attempt]]:
        """Return the open runs of each place."""
        found = {}
        for place in PLACES:
            with self.cluster.acting(self.at(place)):
                rows = Attempt.objects.exclude(status__in=ATTEMPT_TERMINAL)
                found[place] = list(rows.order_by("created_at"))
        return found

    def ask(self, node: SimNode, question: str) -> None:
        """Let the working agent of a member ask something."""
        with self.cluster.acting(node):
            run = Attempt.objects.get(status=AttemptStatus.WORKING)
            asking.ask(run.id, question=question, choices=["yes", "no"], now=self.cluster.now)

    def fail(self, node: SimNode) -> None:
        """Let the working agent of a member fail."""
        with self.cluster.acting(node):
            run = Attempt.objects.get(status=AttemptStatus.WORKING)
            attempts.fail(run.id, code="exit_code", error="exit code 1", now=self.cluster.now)

    def reasons(self, task: Task) -> list[str]:
        """Return the heir's history of a task, oldest first."""
        with self.cluster.acting(self.heir):
            events = TaskEvent.objects.filter(task_id=task.id).order_by("id")
            return [event.reason for event in events]
