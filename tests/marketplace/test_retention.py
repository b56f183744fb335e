"""What strangers announce does not stay for ever."""

from __future__ import annotations

from datetime import timedelta

from marketplace import retention
from marketplace.messages import OfferingAnnounce, OfferingBody
from marketplace.models import Offering
from marketplace.services.offering_records import expires_at_of
from p2p.protocol.timestamps import to_timestamp
from tests.support.cluster import START, Cluster
from tests.support.trading import Market


def test_an_offering_that_claims_to_live_for_ever_counts_a_day() -> None:
    body = OfferingBody(
        id="4" * 32,
        node_id="5" * 32,
        swarm="andromeda",
        addresses=[],
        idle_agents=1,
        capabilities=[],
        price_per_task=1,
        currency="VOID",
        policy="accepted_result",
        isolation="worktree",
        api_keys=False,
        expires_at="9999-01-01T00:00:00Z",
        created_at=to_timestamp(START),
    )
    record = OfferingAnnounce(
        origin="5" * 32,
        public_key="A" * 43 + "=",
        lamport_ts=int(START.timestamp() * 1000),
        incarnation=1,
        seq=1,
        offering=body,
    )

    assert expires_at_of(record) == START + timedelta(days=1)


def test_offerings_are_forgotten_a_day_after_their_end(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    with cluster.acting(market.buyer):
        ended_at = Offering.objects.get().expires_at
        retention.forget_old(ended_at + timedelta(days=1))
        assert Offering.objects.count() == 1

        retention.forget_old(ended_at + timedelta(days=1, seconds=1))
        assert not Offering.objects.exists()
