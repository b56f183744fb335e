"""The first plan's gaps and steps that are about offerings, each as a test of its name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marketplace import messages
from marketplace.models import Offering, SellingPolicy, Tribute
from marketplace.queries import describe_offering, keys_of, state_of
from marketplace.services import offerings
from p2p.local import acting_as
from p2p.models import OutboxMessage
from p2p.protocol.errors import DomainError
from p2p.protocol.numbers import MessageNumber
from p2p.registration import registry, topic_named
from swarm.models import Agent
from swarm.services.agents import reserve_agents
from tests.support.cluster import Cluster, SimNode
from tests.support.trading import PRICE, Market, add_ready_agent


@pytest.fixture
def market(cluster: Cluster) -> Market:
    """A buyer, and a seller whose three agents are for sale."""
    return Market.open(cluster)


def live_at(cluster: Cluster, node: SimNode) -> list[tuple[str, int, int]]:
    """Return (id, agents, price) of what a node shows for sale."""
    with cluster.acting(node):
        rows = keys_of("", node_id="", now=cluster.now).select_related("offering")
        shown = [describe_offering(row.offering, cluster.now) for row in rows]
    return [(each["id"], each["idle_agents"], each["price_per_task"]) for each in shown]


def test_gap_1_an_announced_offering_reaches_every_node(market: Market) -> None:
    cluster = market.cluster
    third = cluster.add("third")
    with cluster.acting(market.seller):
        offerings.set_selling_policy(price_per_task=9, now=cluster.now)
    cluster.step()

    [(offering_id, agents, price)] = live_at(cluster, market.seller)
    assert (agents, price) == (3, 9)
    for node in (market.buyer, third):
        assert live_at(cluster, node) == [(offering_id, 3, 9)]

    with cluster.acting(market.seller):
        offerings.stop_selling(now=cluster.now)
    cluster.step()
    assert [live_at(cluster, node) for node in (market.buyer, third)] == [[], []]


def test_gap_2_offerings_and_policy_are_in_the_database(market: Market) -> None:
    cluster = market.cluster
    before = live_at(cluster, market.seller)
    for node in (market.buyer, market.seller):
        node.connection.close()  # whatever a process remembered is gone with it

        assert live_at(cluster, node) == before
    with cluster.acting(market.seller), acting_as(market.seller.local):
        assert SellingPolicy.objects.get().selling


def test_gap_6_an_offering_that_ran_out_is_live_nowhere_without_a_word(market: Market) -> None:
    cluster = market.cluster
    cluster.cut.add(frozenset((market.buyer.name, market.seller.name)))
    with cluster.acting(market.buyer):
        end = Offering.objects.get().expires_at
    cluster.now = end

    assert live_at(cluster, market.buyer) == live_at(cluster, market.seller) == []
    with cluster.acting(market.buyer):
        offering = Offering.objects.get()
        assert state_of(offering, end) == "expired"
        assert offerings.expire_offerings(end) == 1
        told = OutboxMessage.objects.filter(kind="event").order_by("id").last()
        assert told is not None
        assert (told.event["type"], told.event["event"]) == ("offering_update", "expired")


def test_gap_7_what_was_missed_is_pulled(market: Market) -> None:
    cluster = market.cluster
    late = cluster.add("late")
    assert live_at(cluster, late) == []
    cluster.sync(late, market.buyer, messages.TOPIC)  # not from the seller: from whoever has it

    assert live_at(cluster, late) == live_at(cluster, market.seller)


def test_gap_8_more_agents_than_are_idle_cannot_be_offered(market: Market) -> None:
    cluster = market.cluster
    with cluster.acting(market.seller):
        for wanted in (4, 50):
            with pytest.raises(DomainError) as refused:
                offerings.start_selling(agents_max=wanted, price_per_task=1, now=cluster.now)
            assert refused.value.code == "no_idle_agents"
            assert refused.value.message == f"{wanted} agents wanted for sale, 3 can be offered"

        assert SellingPolicy.objects.get().price_per_task == PRICE
        assert Offering.objects.get().idle_agents == 3


def test_step_1_every_message_of_the_marketplace_has_a_handler() -> None:
    registry.freeze()
    numbers = {
        MessageNumber.OFFERING_ANNOUNCE: 0xC0,
        MessageNumber.OFFERING_WITHDRAW: 0xC1,
        MessageNumber.TRIBUTE_REQUEST: 0xC2,
        MessageNumber.TRIBUTE_ACCEPT: 0xC3,
        MessageNumber.TRIBUTE_REJECT: 0xC4,
    }

    assert [int(number) for number in numbers] == list(numbers.values())
    assert topic_named(messages.TOPIC).classes == (
        messages.OfferingAnnounce,
        messages.OfferingWithdraw,
    )


def test_step_1_offerings_and_tributes_arrive_at_the_services(market: Market) -> None:
    tribute = market.request(market.goal(1), 1)
    for _ in range(3):
        market.cluster.step()

    assert market.tribute(market.seller, tribute.id).status == "accepted"
    assert market.tribute(market.buyer, tribute.id).status == "accepted"
    with market.cluster.acting(market.buyer):
        assert Tribute.objects.get().tx_hash.startswith("0x")


def test_step_2_a_repeated_announcement_is_applied_once(market: Market) -> None:
    cluster = market.cluster
    cluster.faults.duplicate = 1.0
    with cluster.acting(market.buyer):
        OutboxMessage.objects.all().delete()
    with cluster.acting(market.seller):
        offerings.set_selling_policy(price_per_task=8, now=cluster.now)
    cluster.step()

    with cluster.acting(market.buyer):
        events = [row.event for row in OutboxMessage.objects.filter(kind="event")]
    assert [each["event"] for each in events if each["type"] == "offering_update"] == ["renewed"]


def test_step_3_a_restarted_node_goes_on_with_its_offering(market: Market) -> None:
    cluster = market.cluster
    [before] = live_at(cluster, market.seller)
    with cluster.acting(market.seller):
        Agent.objects.update(status="starting")  # as after a crash
        offerings.refresh_offering(cluster.now)
        Agent.objects.update(status="ready")
        offerings.refresh_offering(cluster.now)

    assert live_at(cluster, market.seller) == [before]


def test_step_7_offerings_have_a_sync_of_their_own() -> None:
    request, response = messages.SYNC.request, messages.SYNC.response
    tags = [each.__struct_config__.tag for each in (request, response)]

    assert tags == [0xC5, 0xC6]
    assert topic_named(messages.TOPIC).sync is messages.SYNC


def test_step_9_an_offering_shrinks_with_every_agent_that_is_no_longer_free(
    market: Market,
) -> None:
    cluster = market.cluster
    with cluster.acting(market.seller):
        for left in (2, 1):
            until = cluster.now + timedelta(hours=1)
            reserve_agents(1, reserved_for=f"audit:{left}", until=until, now=cluster.now)
            assert Offering.objects.get().idle_agents == left
        add_ready_agent("agent-9", cluster)
        assert Offering.objects.get().idle_agents == 2


def test_step_11_an_offering_is_renewed_as_long_as_agents_are_idle(market: Market) -> None:
    cluster = market.cluster
    [before] = live_at(cluster, market.seller)
    for _ in range(60):  # half an hour: six times as long as it lives
        cluster.step(30.0)
        with cluster.acting(market.seller):
            offerings.refresh_offering(cluster.now)
    cluster.step()

    assert live_at(cluster, market.buyer) == live_at(cluster, market.seller) == [before]


def test_defect_22_offerings_outlive_a_restart_and_expired_ones_are_not_shown(
    market: Market,
) -> None:
    cluster = market.cluster
    [before] = live_at(cluster, market.buyer)
    market.buyer.connection.close()
    assert live_at(cluster, market.buyer) == [before]

    with cluster.acting(market.buyer):
        cluster.now = Offering.objects.get().expires_at
        assert Offering.objects.get().expired_at is None  # even before the sweep has noted it
    assert live_at(cluster, market.buyer) == []
