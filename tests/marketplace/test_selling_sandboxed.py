"""An owner who sells in a sandbox only offers nothing where there is none."""

from __future__ import annotations

import pytest

from marketplace.models import Offering, OfferingEvent
from marketplace.services.offerings import refresh_offering
from marketplace.states import EndReason
from swarm.sandbox import bwrap
from tests.support.cluster import Cluster
from tests.support.trading import Market


def test_what_sold_work_runs_in_is_offered(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bwrap, "obstacle", lambda: "")
    market = Market.open(cluster, agents=1)
    assert isolations(market) == ["sandbox"]

    monkeypatch.setattr(bwrap, "obstacle", lambda: "it is not installed")
    refresh(market)
    assert isolations(market) == ["worktree"]


def test_without_a_sandbox_nothing_is_offered_where_the_owner_wants_one(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bwrap, "obstacle", lambda: "it is not installed")
    market = Market.open(cluster, agents=1)
    market.seller.environment = market.seller.environment.model_copy(
        update={"sell_without_sandbox": "0"}
    )
    refresh(market)
    with cluster.acting(market.seller):
        assert Offering.objects.get().ended_reason == EndReason.NO_SANDBOX
        assert OfferingEvent.objects.order_by("id").last().reason == EndReason.NO_SANDBOX


def isolations(market: Market) -> list[str]:
    with market.cluster.acting(market.buyer):
        return list(Offering.objects.values_list("isolation", flat=True))


def refresh(market: Market) -> None:
    with market.cluster.acting(market.seller):
        refresh_offering(market.cluster.now)
    market.cluster.step()
