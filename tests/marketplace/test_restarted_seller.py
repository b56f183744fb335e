"""A seller that has just started again keeps the promises of its last life."""

from __future__ import annotations

import pytest

from swarm.models import Agent
from swarm.states import AgentStatus
from tests.support.bargaining import attempts, bought, executions, pass_on
from tests.support.cluster import Cluster
from tests.support.trading import Market


@pytest.fixture
def market(cluster: Cluster) -> Market:
    """A buyer, and a seller with three idle agents."""
    return Market.open(cluster)


def set_agents(market: Market, status: AgentStatus) -> None:
    """Set what the seller knows of all its agents."""
    with market.cluster.acting(market.seller):
        Agent.objects.update(status=status)


def test_an_assignment_waits_for_agents_that_were_not_seen_since_the_start(market: Market) -> None:
    bought(market)
    set_agents(market, AgentStatus.STARTING)
    market.dispatch()
    pass_on(market)

    assert executions(market, market.buyer) == ["open"]
    assert attempts(market) == []

    set_agents(market, AgentStatus.READY)
    pass_on(market, 20)

    assert attempts(market) == ["queued"]
    assert executions(market, market.seller) == ["open"]
    assert executions(market, market.buyer) == ["open"]
    market.check_books()


def test_an_assignment_is_refused_where_the_agents_turn_out_to_be_gone(market: Market) -> None:
    tribute = bought(market)
    set_agents(market, AgentStatus.EXITED)
    market.dispatch()
    pass_on(market, 20)

    assert executions(market, market.buyer) == ["refused"]
    assert attempts(market) == []
    assert market.tribute(market.buyer, tribute.id).status == "failed"
    assert market.wallet(market.buyer) == (1000, 0)
    market.check_books()
