"""Trades up to their payments, and two partners that compare these."""

from __future__ import annotations

from marketplace.models import Payment
from marketplace.services import catching_up
from p2p.models import OutboxMessage
from p2p.registration import number_of
from tests.support.cluster import Cluster, SimNode
from tests.support.trading import Market


def hired(cluster: Cluster, count: int = 2, agents: int = 2) -> Market:
    """Return a market whose buyer has hired `count` executions that are under way."""
    market = Market.open(cluster, agents=agents)
    market.request(market.goal(subtasks=count), count=count)
    for _ in range(3):
        cluster.step()
    assert market.dispatch() == count
    cluster.step()
    return market


def finish(market: Market) -> None:
    """Work, judge and pay everything that is under way."""
    market.work()
    market.cluster.step()
    market.gate()
    for _ in range(4):
        market.cluster.step()


def meet(market: Market, node: SimNode, other: SimNode) -> None:
    """Let a node greet another, as at a new link, and let all that follows arrive."""
    with market.cluster.acting(node):
        catching_up.meet_partner(other.node_id, market.cluster.now)
    for _ in range(6):
        market.cluster.step()


def statuses(cluster: Cluster, node: SimNode) -> list[str]:
    """Return the statuses of a node's payments."""
    with cluster.acting(node):
        return list(Payment.objects.values_list("status", flat=True))


def sent(cluster: Cluster, node: SimNode, kind: type) -> int:
    """Return how many commands of a kind a node has sent."""
    with cluster.acting(node):
        return OutboxMessage.objects.filter(number=number_of(kind)).count()
