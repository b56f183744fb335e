"""A buyer, two sellers and a git remote: what people, agents and the gate do to them.

Everything below a person's or an agent's own act is the production code of the node.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from django.db.models import QuerySet

from marketplace import jobs as marketplace_jobs
from marketplace.messages import TOPIC
from marketplace.models import Execution, Offering, Tribute
from marketplace.services import cancelling, catching_up, offerings, sales, tributes
from marketplace.states import RequeuePolicy, TributeStatus
from p2p.protocol.errors import DomainError
from swarm import jobs as swarm_jobs
from swarm.models import Agent, Attempt, Job, Task
from swarm.services import attempts, goals, jobs, lifecycle, reports
from swarm.services.agents import judge_agent, register_agent, remove_agent
from swarm.services.dispatch import dispatch_ready
from swarm.states import (
    ATTEMPT_TERMINAL,
    TASK_TERMINAL,
    AgentStatus,
    AttemptStatus,
    TaskStatus,
)
from tests.support import market_gate
from tests.support.cluster import SimNode
from tests.support.logged_errors import LoggedErrors
from tests.support.market_network import MarketNetwork
from tests.support.market_remote import Remote
from tests.support.trading import BASE, GRANT, PRICE, outline
from voidlux_site.node import chores, start_up

if TYPE_CHECKING:
    from tests.support.market_start import Market, Start

BUYER, SELLERS = "buyer", ("north", "south")
NODES = (BUYER, *SELLERS)
AGENTS = 2
REMOTE = "/srv/remote.git"
# Jobs that work on a real repository: rules of the test do what they would.
GIT_JOBS = frozenset({goals.PREPARE_GOAL, goals.GATE})
OF_NO_TRADE = ("swarm.budgets", "swarm.gate", "swarm.services.unplaceable")
BRIEFLY_S = 3
RUN_STEPS = (AttemptStatus.PREPARING, AttemptStatus.WORKING, AttemptStatus.PUSHING)


class MarketWorld:
    """Three nodes that trade; every method is one act, whose expected refusal changes nothing."""

    def __init__(self, start: Start) -> None:
        # Ids are drawn: those of an example are not those of its start.
        self.random = random.Random(len(start.contents))
        self.network = MarketNetwork(
            start.folder, Path(), content=start.empty, contents=start.contents
        )
        for name in NODES:
            # The first seller takes the buyer's requests at once, the other asks its operator.
            known = {"allow_nodes": (self.buyer.node_id,)} if name == SELLERS[0] else {}
            self.network.add(name, initial_balance=GRANT, sell="off", **known)
        self.remote = Remote(self.random)
        self.errors = LoggedErrors()
        self._patches = pytest.MonkeyPatch()
        self._stand_in()

    @property
    def buyer(self) -> SimNode:
        return self.network.nodes[BUYER]

    def node(self, name: str) -> SimNode:
        """Return a node by name."""
        return self.network.nodes[name]

    def lives(self, name: str) -> bool:
        """Tell whether the process of a node runs."""
        return name in self.network.nodes and name not in self.network.down

    def open(self) -> None:
        """Give every node its grant, the sellers their agents and the buyer its first goal."""
        for name in NODES:
            with self.network.acting(self.node(name)):
                start_up.reconcile()
                start_up.take_part()
        for seller in SELLERS:
            for _ in range(AGENTS):
                self.add_agent(seller)
            self.sell(seller, AGENTS, PRICE)
        self.submit_goal(2)
        self.network.collect()
        self.network.deliver_all()

    def hire(self, absent: tuple[str, ...], requeue: RequeuePolicy, count: int) -> None:
        """Take nodes out of the market and buy `count` executions, which are assigned."""
        for name in absent:
            self.network.forget(name)
        sellers = [name for name in SELLERS if self.lives(name)]
        for name in sellers:
            self.sell_under(name, requeue)
        self.live(1)
        for number in range(count):
            self.request(number, 1)
            self.live(1)
            for name in sellers:
                self.decide(name, accept=True)
            self.live(1)
            self.live(1)

    def begin_from(self, market: Market) -> None:
        """Bring every node to where it was in another market."""
        self.network.now = market.at
        for name, copy in market.copies.items():
            self.network.put_back(self.node(name), copy)
        jobs.nudge_with(lambda job_id: None)  # that market's end has undone it

    def give_time(self, seconds: int) -> None:
        """Let the buyer give its sellers so long to report."""
        environment = self.buyer.environment.model_copy(update={"work_deadline_s": seconds})
        self.buyer.environment = environment

    # What the buyer's people do.

    def submit_goal(self, parts: int) -> None:
        """Submit a goal of `parts` independent subtasks, which is planned at once."""
        with self._as(BUYER) as now:
            request = goals.GoalRequest(description=outline(parts), repository=REMOTE)
            goal = goals.create_goal(request, now=now)
            goals.store_plan(goal.id, base_branch="main", base_commit=BASE, now=now)

    def request(self, number: int, count: int) -> None:
        """Request `count` executions of one of the known offerings for the newest goal."""
        with self._as(BUYER) as now:
            known = list(Offering.objects.order_by("created_at", "node_id"))
            goal = self.open_goals().last()
            if known and goal is not None:
                tributes.request_tribute(
                    offering_id=known[number % len(known)].id,
                    task_count=count,
                    goal_id=goal.id,
                    now=now,
                )

    def cancel_tribute(self, name: str, number: int) -> None:
        """Cancel one of a node's tributes, as its buyer or as its seller."""
        with self._as(name) as now:
            mine = list(Tribute.objects.order_by("-created_at", "id"))
            if mine:
                chosen = mine[number % len(mine)]
                cancelling.cancel_tribute(chosen.id, reason="not needed", now=now)

    def cancel_execution(self, number: int) -> None:
        """Ask the seller for one execution back, as the buyer's operator."""
        with self._as(BUYER) as now:
            mine = list(Execution.objects.order_by("-id"))
            if mine:
                chosen = mine[number % len(mine)]
                cancelling.cancel_tribute(
                    chosen.tribute_id, reason="too slow", now=now, task_ids=[chosen.task_id]
                )

    def cancel_goal(self) -> None:
        """Cancel the newest goal."""
        with self._as(BUYER) as now:
            goal = self.open_goals().last()
            if goal is not None:
                goals.cancel_task(goal.id, reason="enough", now=now)

    def take_back(self, number: int) -> None:
        """Take a subtask from whoever has it, as the operator."""
        with self._as(BUYER) as now:
            open_ones = self._subtasks(TaskStatus.CLAIMED, TaskStatus.IN_PROGRESS)
            if open_ones:
                task = open_ones[number % len(open_ones)]
                lifecycle.requeue_task(task.id, reason="taken back", now=now)

    def judge(self, number: int, how: str) -> None:
        """Let the gate go as far as `how` with one reported subtask, which the remote must show.

        `look` at the remote, `begin` to merge, `merge`, or find the result `red`.
        """
        with self._as(BUYER) as now:
            reported = self._subtasks(TaskStatus.PENDING_REVIEW, TaskStatus.MERGING)
            if not reported:
                return
            market_gate.judge(self.remote, reported[number % len(reported)], how, now)

    # What the sellers' people and agents do.

    def sell(self, seller: str, agents: int, price: int) -> None:
        """Sell up to `agents` idle agents at `price` VOID a task."""
        with self._as(seller) as now:
            offerings.start_selling(agents_max=agents, price_per_task=price, now=now)

    def sell_under(self, seller: str, requeue: RequeuePolicy) -> None:
        """Let a price cover an accepted result, or one run."""
        with self._as(seller) as now:
            offerings.set_selling_policy(requeue=requeue, now=now)

    def stop_selling(self, seller: str) -> None:
        """Sell no more."""
        with self._as(seller) as now:
            offerings.stop_selling(now=now)

    def add_agent(self, seller: str) -> None:
        """Register another agent and see it ready."""
        with self._as(seller) as now:
            name = f"agent-{Agent.objects.count()}"
            agent = register_agent(name=name, tool="shell", capabilities=["python"], now=now)
            self._see(agent)

    def remove_agent(self, seller: str, number: int) -> None:
        """Remove one of a seller's agents; a busy one is refused."""
        with self._as(seller) as now:
            own = list(Agent.objects.order_by("name"))
            if own:
                remove_agent(own[number % len(own)].id, now=now)

    def decide(self, seller: str, *, accept: bool) -> None:
        """Accept or reject the oldest waiting request, as the seller's operator."""
        with self._as(seller) as now:
            waiting = Tribute.objects.filter(status=TributeStatus.PENDING).order_by("created_at")
            first = waiting.first()
            if first is None:
                return
            if accept:
                sales.accept_by_operator(first.id, now=now)
            else:
                sales.reject_by_operator(first.id, reason="no", now=now)

    def begin(self, seller: str) -> None:
        """Let every waiting run begin and say so."""
        with self._as(seller) as now:
            for attempt in self._open_attempts():
                if attempt.status == AttemptStatus.QUEUED:
                    for target in RUN_STEPS[:2]:
                        attempts.move_attempt(attempt.id, target, now=now)
                    attempts.acknowledge(attempt, now=now)

    def finish(self, seller: str, number: int, how: str) -> None:
        """End one run: `good`, `fail`, or a lie about the commit (`none`, `wrong`, `foreign`)."""
        with self._as(seller) as now:
            running = self._open_attempts()
            if not running:
                return
            attempt = running[number % len(running)]
            if how == "fail":
                attempts.fail(attempt.id, code="exit_code", error="it ended with 1", now=now)
                return
            at = RUN_STEPS.index(attempt.status) + 1 if attempt.status in RUN_STEPS else 0
            for target in RUN_STEPS[at:]:
                attempts.move_attempt(attempt.id, target, now=now)
            commit = self.remote.commit_of(attempt, how)
            attempts.succeed(attempt.id, commit=commit, output="done", now=now)

    # What nodes do by themselves.

    def live(self, seconds: float) -> None:
        """Pass time, in which every living node does its chores and all frames arrive."""
        self.network.now += timedelta(seconds=seconds)
        for node in self.network.living():
            self.tend(node.name, all_chores=seconds > BRIEFLY_S)
        for _ in range(2):
            self.network.collect()
            self.network.deliver_all()

    def tend(self, name: str, *, all_chores: bool = False) -> None:
        """Let a node do once what it does every second.

        Without `all_chores` it leaves out what no trade depends on, such as budgets.
        """
        if not self.lives(name):
            return
        with self.network.acting(self.node(name)):
            for agent in Agent.objects.filter(status=AgentStatus.STARTING):
                self._see(agent)
            for attempt in Attempt.objects.filter(status=AttemptStatus.WORKING):
                with contextlib.suppress(DomainError):
                    reports.report_progress(attempt, "at work", now=self.network.now_here())
            for sweep in chores._SWEEPS:
                if all_chores or not sweep.__module__.startswith(OF_NO_TRADE):
                    sweep(self.network.now_here())
            self._run_jobs()
            dispatch_ready(self.network.now_here())

    def crash(self, name: str, during: str, commits: int) -> None:
        """End a node's process while it does something, `commits` transactions into it."""
        node = self.node(name)
        with self.network.dying(node, commits=commits):
            if during == "tend":
                self.tend(name)
            elif during == "emit":
                self.network.emit(node)
            elif during == "deliver":
                self._deliver_to(node)

    def restart(self, name: str) -> None:
        """Start a node's process again, as `runnode` does."""
        if self.lives(name):
            return
        self.network.down.discard(name)
        with self.network.acting(self.node(name)):
            start_up.reconcile()
            start_up.take_part()
        self.meet(name)

    def meet(self, name: str) -> None:
        """Let a node learn what the others sell, and they what it sells, as a sync does."""
        for other in self.network.living():
            if other.name != name and not self._is_cut(name, other.name):
                self.network.sync(self.node(name), other, TOPIC)
                self.network.sync(other, self.node(name), TOPIC)
                self._greet(name, other.name)
                self._greet(other.name, name)

    def heal(self) -> None:
        """Mend every link."""
        self.network.cut.clear()
        for node in self.network.living():
            self.meet(node.name)

    def close(self) -> None:
        """Forget everything."""
        self.network.close()
        self._patches.undo()
        jobs.nudge_with(swarm_jobs.nudge_worker)
        self.errors.stop()

    def _stand_in(self) -> None:
        """Give the production code this world's time, ids, remote and worker."""
        for module in (marketplace_jobs, swarm_jobs, start_up):
            self._patches.setattr(module, "now_utc", self.network.now_here)
        self._patches.setattr(uuid, "os", SimpleNamespace(urandom=self.random.randbytes))
        self._patches.setattr(marketplace_jobs.Repository, "can_push", self._can_push)
        self._patches.setattr(marketplace_jobs, "objection_of_remote", self._objection_to)
        jobs.nudge_with(lambda job_id: None)

    def _can_push(self, *_: object) -> str | None:
        return None if self.remote.writable else "the remote refused the push"

    def _objection_to(self, execution: Execution) -> str:
        return market_gate.objection_to(self.remote, execution)

    def _greet(self, name: str, other: str) -> None:
        with self.network.acting(self.node(name)):
            catching_up.meet_partner(self.node(other).node_id, self.network.now_here())

    @contextlib.contextmanager
    def _as(self, name: str) -> Iterator[datetime]:
        """Act at a living node, whose expected refusals change nothing; yields its time."""
        assert self.lives(name)
        with self.network.acting(self.node(name)), contextlib.suppress(DomainError):
            yield self.network.now_here()

    def _run_jobs(self) -> None:
        for job_id in jobs.due_unnudged(self.network.now_here()):
            if Job.objects.get(id=job_id).kind not in GIT_JOBS:
                swarm_jobs.run_job(job_id)

    def _deliver_to(self, node: SimNode) -> None:
        for index, (to_node_id, _) in enumerate(self.network.flying):
            if to_node_id == node.node_id:
                self.network.deliver_one(index)
                return

    def _is_cut(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self.network.cut

    def open_goals(self) -> QuerySet[Task]:
        """Return the acting node's goals that have not ended, oldest first."""
        open_goals = Task.objects.filter(parent__isnull=True).exclude(status__in=TASK_TERMINAL)
        return open_goals.order_by("created_at", "id")

    def _subtasks(self, *statuses: TaskStatus) -> Sequence[Task]:
        rows = Task.objects.filter(parent__isnull=False, status__in=statuses)
        return list(rows.order_by("created_at", "parent_id", "number"))

    def _see(self, agent: Agent) -> None:
        judge_agent(
            agent.id,
            AgentStatus.READY,
            source="tmux",
            rule="session_alive",
            evidence="seen",
            now=self.network.now_here(),
        )

    def _open_attempts(self) -> list[Attempt]:
        open_ones = Attempt.objects.exclude(status__in=ATTEMPT_TERMINAL)
        return list(open_ones.order_by("created_at", "id"))
