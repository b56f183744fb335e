"""A buyer and a seller on a simulated cluster, and the books that must always add up."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Sum

from marketplace.models import LedgerEntry, Offering, Tribute, Wallet
from marketplace.services import offerings, tributes, wallet
from marketplace.states import EntryKind
from swarm.models import Agent, Attempt, Task
from swarm.services import attempts, goals
from swarm.services.agents import judge_agent, register_agent
from swarm.services.dispatch import dispatch_ready
from swarm.services.transitions import move_task
from swarm.states import Actor, AgentStatus, AttemptStatus, TaskStatus
from tests.support.cluster import Cluster, SimNode

GRANT = 1000
PRICE = 7
COMMIT = "c" * 40
BASE = "b" * 40


def outline(count: int) -> str:
    """Return a goal of `count` independent subtasks."""
    blocks = "\n".join(f"- [ ] Part {n}\n  ```sh\n  true\n  ```\n" for n in range(1, count + 1))
    return f"# Build it\n\n{blocks}"


@dataclass
class Market:
    """Two nodes that trade; every method acts as one of them."""

    cluster: Cluster
    buyer: SimNode
    seller: SimNode

    @classmethod
    def open(cls, cluster: Cluster, *, agents: int = 3, **seller_environment: object) -> Market:
        """Set both nodes up: grants, and idle agents for sale at the seller."""
        buyer = cluster.add("buyer")
        seller = cluster.add(
            "seller",
            allow_nodes=(buyer.node_id,),
            **seller_environment,  # type: ignore[arg-type]
        )
        market = cls(cluster, buyer, seller)
        for node in (buyer, seller):
            with cluster.acting(node):
                wallet.grant_initial(GRANT, now=cluster.now)
        with cluster.acting(seller):
            for number in range(agents):
                add_ready_agent(f"agent-{number}", cluster)
            offerings.start_selling(agents_max=agents, price_per_task=PRICE, now=cluster.now)
        cluster.step()
        return market

    def goal(self, subtasks: int) -> Task:
        """Submit and plan a goal at the buyer."""
        with self.cluster.acting(self.buyer):
            request = goals.GoalRequest(description=outline(subtasks), repository="/srv/remote.git")
            goal = goals.create_goal(request, now=self.cluster.now)
            goals.store_plan(goal.id, base_branch="main", base_commit=BASE, now=self.cluster.now)
        return goal

    def request(self, goal: Task, count: int) -> Tribute:
        """Request executions of the seller's offering."""
        with self.cluster.acting(self.buyer):
            offering = Offering.objects.get(node_id=self.seller.node_id)
            return tributes.request_tribute(
                offering_id=offering.id,
                task_count=count,
                goal_id=goal.id,
                now=self.cluster.now,
            )

    def dispatch(self) -> int:
        """Dispatch at the buyer."""
        with self.cluster.acting(self.buyer):
            return dispatch_ready(self.cluster.now)

    def work(self, *, commit: str = COMMIT, fail: bool = False) -> int:
        """Let the seller's agents end every open attempt; returns how many."""
        with self.cluster.acting(self.seller):
            open_ones = list(Attempt.objects.filter(status=AttemptStatus.QUEUED))
            for attempt in open_ones:
                self._end(attempt, commit, fail)
        return len(open_ones)

    def gate(self, target: TaskStatus = TaskStatus.COMPLETED) -> int:
        """Judge every reported subtask at the buyer as the gate would; returns how many."""
        with self.cluster.acting(self.buyer):
            reported = list(Task.objects.filter(status=TaskStatus.PENDING_REVIEW))
            for task in reported:
                judge(task, target, self.cluster)
        return len(reported)

    def tribute(self, node: SimNode, tribute_id: UUID) -> Tribute:
        """Return a tribute as one of the sides sees it."""
        with self.cluster.acting(node):
            return Tribute.objects.get(id=tribute_id)

    def wallet(self, node: SimNode) -> tuple[int, int]:
        """Return (balance, held) of a node."""
        with self.cluster.acting(node):
            row = Wallet.objects.get(id=1)
        return row.balance, row.held

    def check_books(self) -> None:
        """Assert the invariant of the money: nothing is made, lost, or paid twice."""
        balances = sum(self.wallet(node)[0] for node in (self.buyer, self.seller))
        captured = self._references(self.buyer, EntryKind.CAPTURE)
        credited = self._references(self.seller, EntryKind.CREDIT)
        taken_back = self._references(self.buyer, EntryKind.CREDIT)
        assert set(credited) <= set(captured)
        assert not set(credited) & set(taken_back)
        flying = sum(captured[r] for r in captured if r not in credited and r not in taken_back)
        assert balances + flying == 2 * GRANT
        for node in (self.buyer, self.seller):
            self._check_ledger(node)

    def _references(self, node: SimNode, kind: EntryKind) -> dict[str, int]:
        with self.cluster.acting(node):
            rows = LedgerEntry.objects.filter(kind=kind)
            return dict(rows.values_list("reference", "amount"))

    def _check_ledger(self, node: SimNode) -> None:
        with self.cluster.acting(node):
            row = Wallet.objects.get(id=1)
            balance = held = 0
            for entry in LedgerEntry.objects.order_by("id"):
                by_balance, by_held = wallet.EFFECT[EntryKind(entry.kind)]
                balance += by_balance * entry.amount
                held += by_held * entry.amount
                assert (entry.balance_after, entry.held_after) == (balance, held)
                assert 0 <= held <= balance
            assert (row.balance, row.held) == (balance, held)

    def _end(self, attempt: Attempt, commit: str, fail: bool) -> None:
        now = self.cluster.now
        if fail:
            attempts.fail(attempt.id, code="exit_code", error="it ended with 1", now=now)
            return
        for target in (AttemptStatus.PREPARING, AttemptStatus.WORKING, AttemptStatus.PUSHING):
            attempts.move_attempt(attempt.id, target, now=now)
        attempts.succeed(attempt.id, commit=commit, output="done", now=now)


def add_ready_agent(name: str, cluster: Cluster) -> Agent:
    """Register an agent of the acting node and see it ready."""
    agent = register_agent(name=name, tool="shell", capabilities=["python"], now=cluster.now)
    judge_agent(
        agent.id,
        AgentStatus.READY,
        source="tmux",
        rule="session_alive",
        evidence="seen",
        now=cluster.now,
    )
    return agent


def judge(task: Task, target: TaskStatus, cluster: Cluster) -> None:
    """Move a reported subtask of the acting node as the gate would."""
    if target == TaskStatus.COMPLETED:
        move_task(
            task.id, TaskStatus.MERGING, by=Actor.GATE, reason="on the remote", now=cluster.now
        )
        move_task(task.id, target, by=Actor.GATE, reason="merged", now=cluster.now)
        goals.settle_dependants(task.parent_id, now=cluster.now)  # type: ignore[arg-type]
        return
    goals.requeue_or_fail(
        task, by=Actor.GATE, reason="red", feedback="red", evidence={}, now=cluster.now
    )


def total(node: SimNode, cluster: Cluster, kind: EntryKind) -> int:
    """Return the sum of a node's ledger entries of one kind."""
    with cluster.acting(node):
        return LedgerEntry.objects.filter(kind=kind).aggregate(sum=Sum("amount"))["sum"] or 0
