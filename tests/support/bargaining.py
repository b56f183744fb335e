"""Steps of a trade between two simulated nodes that tests of its rules share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from marketplace.models import Execution, LedgerEntry, Offering, Payment, Refusal, Tribute
from p2p import inbox
from p2p.models import InboxMessage, OutboxKind, OutboxMessage
from p2p.protocol.signing import open_sealed
from p2p.registration import registry
from swarm.models import Agent, Attempt, Task
from swarm.services import jobs
from swarm.services.reconciliation import reconcile_tasks
from tests.support.cluster import NETWORK, SimNode
from tests.support.trading import Market


def pass_on(market: Market, steps: int = 5) -> None:
    """Let everything that is said arrive, within seconds."""
    for _ in range(steps):
        market.cluster.step(1)


def hired(market: Market, *, subtasks: int = 1, count: int = 1, per_run: bool = False) -> Tribute:
    """Buy executions for a new goal and have its subtasks assigned and claimed."""
    tribute = bought(market, subtasks=subtasks, count=count, per_run=per_run)
    market.dispatch()
    pass_on(market, 3)
    return tribute


def bought(market: Market, *, subtasks: int = 1, count: int = 1, per_run: bool = False) -> Tribute:
    """Buy executions for a new goal, accepted by the seller."""
    if per_run:
        for node in (market.buyer, market.seller):
            with market.cluster.acting(node):
                Offering.objects.update(policy="execution")
    tribute = market.request(market.goal(subtasks=subtasks), count=count)
    pass_on(market, 3)
    return tribute


def executions(market: Market, node: SimNode) -> list[str]:
    """Return the statuses of a node's executions, oldest first."""
    with market.cluster.acting(node):
        return list(Execution.objects.order_by("id").values_list("status", flat=True))


def attempts(market: Market) -> list[str]:
    """Return the statuses of the seller's runs, oldest first."""
    with market.cluster.acting(market.seller):
        return list(Attempt.objects.order_by("created_at").values_list("status", flat=True))


def refusals(market: Market, node: SimNode) -> list[tuple[str, str]]:
    """Return (message, code) of everything that a node refused, oldest first."""
    with market.cluster.acting(node):
        return list(Refusal.objects.order_by("id").values_list("subject", "code"))


def reserved(market: Market) -> int:
    """Return how many of the seller's agents are reserved."""
    with market.cluster.acting(market.seller):
        return Agent.objects.exclude(reserved_for="").count()


def subtask(market: Market, number: int = 1) -> Task:
    """Return a subtask of the buyer's newest goal."""
    with market.cluster.acting(market.buyer):
        return Task.objects.filter(parent__isnull=False, number=number).latest("created_at")


def ends(market: Market, tribute_id: UUID) -> tuple[str, str]:
    """Return the tribute's status at the buyer and at the seller."""
    sides = [market.tribute(node, tribute_id).status for node in (market.buyer, market.seller)]
    return sides[0], sides[1]


def books(market: Market) -> list[Any]:
    """Return everything of both nodes that a message could move."""
    seen: list[Any] = []
    for node in (market.buyer, market.seller):
        seen.append(market.wallet(node))
        with market.cluster.acting(node):
            tributes = Tribute.objects.order_by("id")
            seen.append(list(tributes.values_list("id", "status", "released_count", "tx_hash")))
            rows = Execution.objects.order_by("id")
            seen.append(list(rows.values_list("task_id", "run", "status", "commit")))
            seen.append(list(Payment.objects.order_by("id").values_list("id", "status")))
            seen.append(list(Attempt.objects.order_by("id").values_list("id", "status")))
            seen.append(list(Task.objects.order_by("id").values_list("id", "status")))
            seen.append(LedgerEntry.objects.count())
    return seen


def hear_again(market: Market, *, forgotten: bool) -> int:
    """Deliver every command once more that either node ever got; returns how many.

    `forgotten` takes the memory of answered commands away first.
    """
    heard = 0
    for node in (market.buyer, market.seller):
        with market.cluster.acting(node):
            frames = [bytes(each.frame) for each in InboxMessage.objects.order_by("id")]
            if forgotten:
                InboxMessage.objects.all().delete()
            for frame in frames:
                inbox.apply_batch([open_sealed(frame, NETWORK, registry)], market.cluster.now)
            heard += len(frames)
    return heard


def restart(market: Market, node: SimNode) -> None:
    """Do what a node does with its rows when it starts, and make all that it waits for due."""
    now = market.cluster.now
    with market.cluster.acting(node):
        jobs.recover_all(now)
        reconcile_tasks(now)
        waiting = OutboxMessage.objects.filter(kind=OutboxKind.COMMAND, done_at__isnull=True)
        waiting.update(due_at=now)


def wait(market: Market, seconds: float) -> None:
    """Let time pass in which nothing is sent."""
    market.cluster.now += timedelta(seconds=seconds)


def codes(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return the codes of refusals."""
    return [code for _, code in rows]
