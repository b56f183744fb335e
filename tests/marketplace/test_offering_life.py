"""The life of own offerings: renewed, resized, ended, with clocks that jump and old backups."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marketplace import retention
from marketplace.messages import OfferingAnnounce
from marketplace.models import Offering, OfferingEvent
from marketplace.queries import describe_offering, state_of
from marketplace.services import offerings
from p2p.models import OutboxMessage
from p2p.models import Record as StoredRecord
from p2p.protocol.errors import DomainError
from p2p.record_rows import record_in
from swarm.errors import NotFound
from swarm.models import Agent
from swarm.services.agents import remove_agent
from swarm.states import AgentStatus
from tests.support.cluster import Cluster, SimNode
from tests.support.trading import Market, add_ready_agent

TTL = timedelta(seconds=300)


@pytest.fixture
def market(cluster: Cluster) -> Market:
    """Two nodes, of which one sells two agents."""
    return Market.open(cluster, agents=2)


def own(market: Market) -> Offering:
    return Offering.objects.get(node_id=market.seller.node_id)


def history() -> list[tuple[str, str, int]]:
    rows = OfferingEvent.objects.order_by("id")
    return list(rows.values_list("change", "reason", "idle_agents"))


def told(event: str) -> int:
    rows = OutboxMessage.objects.filter(kind="event").values_list("event", flat=True)
    return sum(row["type"] == "offering_update" and row["event"] == event for row in rows)


def announced_ends(node: SimNode) -> list[str]:
    """Return the `expires_at` of the node's announcements, as they are on the wire."""
    records = [record_in(bytes(row.frame)) for row in StoredRecord.objects.all()]
    return [each.offering.expires_at for each in records if isinstance(each, OfferingAnnounce)]


def test_it_is_renewed_under_the_same_id_when_a_third_of_its_life_is_left(market: Market) -> None:
    cluster = market.cluster
    with cluster.acting(market.seller):
        before = own(market)
        for seconds, renewed in ((199, False), (201, True)):
            now = before.created_at + timedelta(seconds=seconds)
            offerings.refresh_offering(now)
            assert (own(market).expires_at == now + TTL) is renewed
        after = own(market)

        assert (after.id, after.created_at) == (before.id, before.created_at)
        assert history() == [("announced", "", 2)]  # a plain renewal is no history
        assert told("renewed") == 1


def test_it_shrinks_and_grows_with_the_idle_agents(market: Market) -> None:
    cluster = market.cluster
    with cluster.acting(market.seller):
        remove_agent(Agent.objects.get(name="agent-1").id, now=cluster.now)
        assert own(market).idle_agents == 1
        add_ready_agent("agent-2", cluster)

        assert own(market).idle_agents == 2
        assert history() == [("announced", "", 2), ("resized", "", 1), ("resized", "", 2)]


def test_it_is_withdrawn_with_the_last_idle_agent_and_another_follows(market: Market) -> None:
    cluster = market.cluster
    with cluster.acting(market.seller):
        first = own(market)
        for agent in Agent.objects.all():
            remove_agent(agent.id, now=cluster.now)
        gone = own(market)
        assert (gone.id, gone.withdrawn_at) == (first.id, cluster.now)
        assert gone.ended_reason == "no_idle_agents"

        add_ready_agent("agent-9", cluster)
        live = offerings.own_live_offering(cluster.now)
        assert live is not None and live.id != first.id
    cluster.step()
    with cluster.acting(market.buyer):
        states = {row.id: state_of(row, cluster.now) for row in Offering.objects.all()}
        assert states == {first.id: "withdrawn", live.id: "live"}


def test_it_expires_with_an_event_once_and_a_row(market: Market) -> None:
    for node in (market.seller, market.buyer):
        with market.cluster.acting(node):
            offering = own(market)
            end = offering.expires_at
            assert offerings.expire_offerings(end - timedelta(microseconds=1)) == 0
            assert describe_offering(own(market), end)["state"] == "expired"
            assert offerings.expire_offerings(end) == 1
            assert offerings.expire_offerings(end) == 0

            assert told("expired") == 1
            shown = describe_offering(own(market), end)
            assert (shown["ended_reason"], shown["ended_at"]) == ("expired", shown["expires_at"])
            wanted = [("announced", "", 2), ("expired", "expired", 2)]
            assert history() == (wanted if node is market.seller else [])


def test_it_is_withdrawn_at_shutdown_and_sold_again_at_the_start(market: Market) -> None:
    cluster = market.cluster
    with cluster.acting(market.seller):
        offerings.withdraw_own(cluster.now)
        offerings.withdraw_own(cluster.now)
        assert history() == [("announced", "", 2), ("withdrawn", "shutdown", 2)]

        offerings.refresh_offering(cluster.now)
        assert Offering.objects.filter(withdrawn_at=None).count() == 1


def test_after_a_crash_it_stays_until_the_agents_were_looked_at(market: Market) -> None:
    cluster = market.cluster
    with cluster.acting(market.seller):
        before = own(market)
        Agent.objects.update(status=AgentStatus.STARTING, seen_at=None)
        offerings.refresh_offering(cluster.now)
        assert offerings.own_live_offering(cluster.now) == before

        # ... but no longer than its owner wants, whatever the agents are.
        offerings.stop_selling(now=cluster.now)
        assert offerings.own_live_offering(cluster.now) is None


def test_a_clock_that_is_set_back_makes_it_neither_too_long_nor_unsound(market: Market) -> None:
    cluster = market.cluster
    earlier = cluster.now - timedelta(hours=2)
    with cluster.acting(market.seller):
        before = own(market)
        offerings.refresh_offering(earlier)
        after = own(market)

        assert after.id == before.id
        assert after.expires_at == earlier + TTL
        assert after.created_at == earlier  # never after its end: other nodes refuse that
        assert announced_ends(market.seller) == ["2026-01-01T10:05:03Z"]
    cluster.step()
    with cluster.acting(market.buyer):
        assert own(market).expires_at == after.expires_at


def test_a_clock_that_jumps_forward_ends_it_and_begins_another(market: Market) -> None:
    cluster = market.cluster
    later = cluster.now + timedelta(hours=2)
    with cluster.acting(market.seller):
        before = own(market)
        offerings.refresh_offering(later)
        live = offerings.own_live_offering(later)

        assert live is not None and live.id != before.id
        assert offerings.expire_offerings(later) == 1


def test_an_offering_that_a_lost_life_announced_is_withdrawn(market: Market) -> None:
    cluster = market.cluster
    with cluster.acting(market.seller):
        known = own(market)
        other = Offering.objects.get(id=known.id)
        other.id, other.created_at = other.id.__class__(int=7), known.created_at - TTL
        other.save(force_insert=True)
        offerings.refresh_offering(cluster.now)

        live = Offering.objects.filter(withdrawn_at=None)
        assert [row.id for row in live] == [known.id]
        assert Offering.objects.get(id=other.id).ended_reason == "replaced"
        assert sum(row.idle_agents for row in live) == 2  # as many as there are


def test_only_a_live_own_offering_can_be_withdrawn(market: Market) -> None:
    cluster = market.cluster
    with cluster.acting(market.buyer):
        with pytest.raises(DomainError) as refused:
            offerings.withdraw_offering(own(market).id, now=cluster.now)
        assert (refused.value.code, refused.value.status) == ("not_ours", 403)
        assert own(market).withdrawn_at is None
    with cluster.acting(market.seller):
        offering = own(market)
        with pytest.raises(DomainError) as refused:
            offerings.withdraw_offering(offering.id, now=offering.expires_at)
        assert refused.value.code == "already_expired"
        offerings.withdraw_offering(offering.id, now=cluster.now)
        with pytest.raises(DomainError) as refused:
            offerings.withdraw_offering(offering.id, now=cluster.now)
        assert refused.value.code == "already_withdrawn"
        with pytest.raises(NotFound):
            offerings.withdraw_offering(offering.id.__class__(int=1), now=cluster.now)


def test_a_withdrawal_that_cannot_be_written_leaves_everything_as_it_was(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    cluster = market.cluster
    with cluster.acting(market.seller):
        monkeypatch.setattr(offerings, "tell", refuse)
        with pytest.raises(OSError, match="the disk is full"):
            offerings.stop_selling(now=cluster.now)

        assert own(market).withdrawn_at is None
        assert offerings.selling_policy().selling
        assert history() == [("announced", "", 2)]


def test_own_offerings_are_kept_thirty_days_with_their_history(market: Market) -> None:
    cluster = market.cluster
    with cluster.acting(market.seller):
        offerings.withdraw_own(cluster.now)
        ended = own(market).expires_at
        retention.forget_old(ended + timedelta(days=29))
        assert history() == [("announced", "", 2), ("withdrawn", "shutdown", 2)]

        retention.forget_old(ended + timedelta(days=30, seconds=1))
        assert not Offering.objects.exists()
        assert not OfferingEvent.objects.exists()


def test_ended_offerings_of_others_are_bounded(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ENDED_OFFERINGS_MAX", 3)
    with market.cluster.acting(market.buyer):
        template = own(market)
        for number in range(1, 7):
            template.id = template.id.__class__(int=number)
            template.expires_at = market.cluster.now - timedelta(minutes=number)
            template.save(force_insert=True)
        retention.forget_old(market.cluster.now)

        ended = Offering.objects.filter(expires_at__lt=market.cluster.now)
        assert sorted(row.id.int for row in ended) == [1, 2, 3]
        assert Offering.objects.count() == 4  # what is live is not counted
