"""The owner's selling policy: each column decides what is offered, and to the minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from marketplace.models import Offering, OfferingEvent, SellingPolicy
from marketplace.services import offerings, selling
from marketplace.services.hours import is_within
from marketplace.states import EndReason
from p2p.protocol.errors import DomainError
from swarm.agents import capacity
from swarm.budgets.pauses import pause_agent
from swarm.models import Agent, Attempt, Task
from swarm.services import goals
from swarm.services.agents import note_seen, remove_agent, reserve_agents
from tests.support.cluster import Cluster, SimNode
from tests.support.trading import BASE, Market, add_ready_agent, outline


def seller_with(cluster: Cluster, agents: int = 3, **environment: object) -> SimNode:
    """Return a node with idle agents that sells nothing yet."""
    node = cluster.add("seller", **environment)  # type: ignore[arg-type]
    with cluster.acting(node):
        for number in range(agents):
            add_ready_agent(f"agent-{number}", cluster)
    return node


def offered(cluster: Cluster) -> int:
    """Return how many agents the acting node offers."""
    offering = offerings.own_live_offering(cluster.now)
    return offering.idle_agents if offering else 0


def give(name: str, *capabilities: str) -> None:
    Agent.objects.filter(name=name).update(capabilities=list(capabilities))


def history() -> list[tuple[str, str, int]]:
    rows = OfferingEvent.objects.order_by("id")
    return list(rows.values_list("change", "reason", "idle_agents"))


def test_nothing_is_sold_until_the_owner_says_so(cluster: Cluster) -> None:
    with cluster.acting(seller_with(cluster)):
        offerings.refresh_offering(cluster.now)

        assert not Offering.objects.exists()
        assert not selling.selling_policy().selling
        assert not SellingPolicy.objects.exists()
        assert selling.stock(selling.selling_policy(), cluster.now).agents == []


def test_only_agents_that_can_do_all_capabilities_are_sold(cluster: Cluster) -> None:
    with cluster.acting(seller_with(cluster)):
        give("agent-0", "python", "rust")
        give("agent-1", "python")
        offerings.set_selling_policy(
            selling=True, capabilities=["rust", "python", "rust"], now=cluster.now
        )

        assert offered(cluster) == 1
        offering = Offering.objects.get()
        assert offering.capabilities == ["python", "rust"]
        assert selling.selling_policy().capabilities == ["python", "rust"]


def test_a_capability_that_nobody_has_offers_nothing_and_says_so(cluster: Cluster) -> None:
    with cluster.acting(seller_with(cluster)):
        policy = offerings.set_selling_policy(selling=True, capabilities=["cobol"], now=cluster.now)
        found = selling.stock(policy, cluster.now)

        assert (found.agents, found.reason) == ([], EndReason.NO_IDLE_AGENTS)
        assert found.text == "no idle agent can do all of cobol"
        assert offered(cluster) == 0
        with pytest.raises(DomainError, match="1 agents wanted for sale, 0 can be offered: no idl"):
            offerings.start_selling(agents_max=1, price_per_task=1, now=cluster.now)


@pytest.mark.parametrize(("kept", "left"), [(0, 3), (1, 2), (2, 1), (3, 0), (4, 0)])
def test_agents_are_kept_for_own_work(cluster: Cluster, kept: int, left: int) -> None:
    with cluster.acting(seller_with(cluster)):
        offerings.set_selling_policy(selling=True, agents_kept=kept, now=cluster.now)

        assert offered(cluster) == left


def test_agents_at_work_for_buyers_count_as_sold(cluster: Cluster) -> None:
    with cluster.acting(seller_with(cluster)):
        offerings.set_selling_policy(selling=True, agents_max=2, now=cluster.now)
        assert offered(cluster) == 2

        until = cluster.now + timedelta(seconds=60)
        reserve_agents(2, reserved_for="tribute:1", until=until, now=cluster.now)

        assert offered(cluster) == 0
        assert Offering.objects.get().ended_reason == EndReason.SOLD_OUT
        assert len(selling.stock(selling.selling_policy(), until).agents) == 2


def test_own_work_that_waits_comes_first(cluster: Cluster) -> None:
    node = seller_with(cluster)
    with cluster.acting(node):
        offerings.set_selling_policy(selling=True, now=cluster.now)
        request = goals.GoalRequest(description=outline(1), repository="/srv/remote.git")
        goal = goals.create_goal(request, now=cluster.now)
        goals.store_plan(goal.id, base_branch="main", base_commit=BASE, now=cluster.now)
        assert Task.objects.filter(parent=goal, status="pending").count() == 1
        offerings.refresh_offering(cluster.now)

        assert offered(cluster) == 0
        policy = selling.selling_policy()
        assert (
            selling.stock(policy, cluster.now).text
            == "own work that waits needs the idle agents (3)"
        )


@pytest.mark.parametrize(
    ("hours", "clock", "within"),
    [
        ("", "03:00", True),
        ("09:00-17:00", "08:59", False),
        ("09:00-17:00", "09:00", True),
        ("09:00-17:00", "16:59", True),
        ("09:00-17:00", "17:00", False),
        ("22:00-06:00", "21:59", False),
        ("22:00-06:00", "22:00", True),
        ("22:00-06:00", "00:00", True),
        ("22:00-06:00", "05:59", True),
        ("22:00-06:00", "06:00", False),
    ],
)
def test_hours_begin_and_end_to_the_minute(
    cluster: Cluster, hours: str, clock: str, within: bool
) -> None:
    with cluster.acting(cluster.add("seller", time_zone="UTC")):
        hour, minute = (int(part) for part in clock.split(":"))
        assert is_within(hours, datetime(2026, 1, 1, hour, minute, tzinfo=UTC)) is within


@pytest.mark.parametrize(
    ("zone", "month", "begins_utc"),
    [("Europe/Berlin", 1, 21), ("Europe/Berlin", 7, 20), ("Asia/Kolkata", 1, 17)],
)
def test_hours_are_those_of_the_node(
    cluster: Cluster, zone: str, month: int, begins_utc: int
) -> None:
    with cluster.acting(cluster.add("seller", time_zone=zone)):
        begin = datetime(2026, month, 15, begins_utc, tzinfo=UTC)

        assert not is_within("22:00-06:00", begin - timedelta(minutes=31))
        assert is_within("22:00-06:00", begin)


def test_outside_the_hours_the_offering_is_withdrawn_and_comes_back(cluster: Cluster) -> None:
    node = seller_with(cluster, time_zone="UTC")  # the cluster begins at 12:00
    with cluster.acting(node):
        offerings.set_selling_policy(selling=True, hours="11:00-12:30", now=cluster.now)
        assert offered(cluster) == 3

        cluster.now += timedelta(minutes=4)
        assert offered(cluster) == 3
        offerings.refresh_offering(cluster.now)
        cluster.now = cluster.now.replace(hour=12, minute=30)
        Offering.objects.update(expires_at=cluster.now + timedelta(seconds=1))
        offerings.refresh_offering(cluster.now)

        assert Offering.objects.get().ended_reason == EndReason.OUTSIDE_HOURS
        with pytest.raises(DomainError, match="new work is taken 11:00-12:30 only") as refused:
            offerings.start_selling(agents_max=1, price_per_task=1, now=cluster.now)
        assert refused.value.code == "outside_hours"

        cluster.now += timedelta(hours=23)
        offerings.refresh_offering(cluster.now)
        assert offered(cluster) == 3


def test_running_work_goes_on_when_the_hours_end(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2, time_zone="UTC")
    tribute = market.request(market.goal(1), 1)
    for _ in range(4):
        cluster.step()
    market.dispatch()
    for _ in range(4):
        cluster.step()
    with cluster.acting(market.seller):
        assert Attempt.objects.filter(tribute_id=tribute.id).count() == 1
        offerings.set_selling_policy(hours="00:00-01:00", now=cluster.now)

        assert offered(cluster) == 0
        assert Attempt.objects.get(tribute_id=tribute.id).status == "queued"
        assert Agent.objects.filter(reserved_for=f"tribute:{tribute.id.hex}").count() == 1
    assert market.tribute(market.seller, tribute.id).status == "accepted"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"price_per_task": -1}, "bad_price", "price_per_task is -1: 0 to 1000000000000"),
        ({"price_per_task": 10**12 + 1}, "bad_price", "0 to 1000000000000 is allowed"),
        ({"agents_max": 0}, "bad_count", "agents_max is 0: 1 to 50 is allowed"),
        ({"agents_max": 51}, "bad_count", "agents_max is 51: 1 to 50 is allowed"),
        ({"agents_kept": -1}, "bad_count", "agents_kept is -1: 0 to 50 is allowed"),
        ({"agents_kept": 51}, "bad_count", "agents_kept is 51: 0 to 50 is allowed"),
        ({"executions_per_buyer_max": 0}, "bad_count", "is 0: 1 to 10000 is allowed"),
        ({"credit_limit": -1}, "bad_credit_limit", "credit_limit is -1: 0 to 1000000000000"),
        ({"hours": "25:00-99:00"}, "bad_hours", "'25:00-99:00': HH:MM-HH:MM from 00:00 to 23:59"),
        ({"hours": "9:00-17:00"}, "bad_hours", "HH:MM-HH:MM"),
        ({"hours": "09:00-17:00\n"}, "bad_hours", "HH:MM-HH:MM"),
        ({"hours": "09:00-09:00"}, "bad_hours", "begin when they end"),
        ({"acceptance": "all"}, "bad_acceptance", "'all': one of auto, allowlist, manual"),
        ({"requeue": "never"}, "bad_requeue", "'never': one of accepted_result, execution"),
        ({"capabilities": ["Python 3"]}, "bad_capability", "'Python 3': 1 to 64 of a-z"),
        ({"capabilities": ["c"] * 33}, "too_many_capabilities", "33 capabilities, at most 32"),
    ],
)
def test_bad_values_are_refused_with_the_limit(
    cluster: Cluster, changes: dict[str, object], code: str, words: str
) -> None:
    with cluster.acting(seller_with(cluster)):
        with pytest.raises(DomainError) as refused:
            offerings.set_selling_policy(selling=True, **changes, now=cluster.now)

        assert (refused.value.code, refused.value.status) == (code, 422)
        assert words in refused.value.message
        assert not SellingPolicy.objects.exists()
        assert not Offering.objects.exists()


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("price_per_task", 9, ("price_per_task", 9)),
        ("requeue", "execution", ("policy", "execution")),
        ("api_keys", True, ("api_keys", True)),
        ("capabilities", ["python"], ("capabilities", ["python"])),
    ],
)
def test_a_change_of_the_policy_is_announced_at_once(
    cluster: Cluster, column: str, value: object, shown: tuple[str, object]
) -> None:
    buyer, seller = cluster.add("buyer"), seller_with(cluster)
    with cluster.acting(seller):
        give("agent-0", "python", "rust")
        give("agent-1", "python", "rust")
        give("agent-2", "rust")
        offerings.set_selling_policy(selling=True, agents_max=2, now=cluster.now)
        before = Offering.objects.get()
        give("agent-0", "python")
        offerings.set_selling_policy(**{column: value}, now=cluster.now)
    for _ in range(2):
        cluster.step()

    for node in (seller, buyer):
        with cluster.acting(node):
            after = Offering.objects.get()
            assert after.id == before.id
            assert getattr(after, shown[0]) == shown[1]
    with cluster.acting(seller):
        assert history() == [("announced", "", 2), ("changed", "", 2)]


def test_an_agent_is_not_offered_in_any_state_but_idle_and_healthy(cluster: Cluster) -> None:
    def reserved(agent: Agent) -> None:
        until = cluster.now + timedelta(seconds=60)
        reserve_agents(1, reserved_for="audit", until=until, now=cluster.now)

    def paused(agent: Agent) -> None:
        until = cluster.now + timedelta(hours=1)
        pause_agent(agent.id, until=until, reason="usage window", now=cluster.now)

    def unseen(agent: Agent) -> None:
        note_seen([agent.id], now=cluster.now - timedelta(seconds=60))

    def removed(agent: Agent) -> None:
        remove_agent(agent.id, now=cluster.now)

    def exited(agent: Agent) -> None:
        Agent.objects.filter(id=agent.id).update(status="exited")

    for number, spoil in enumerate((reserved, paused, unseen, removed, exited)):
        node = cluster.add(f"seller-{number}")
        with cluster.acting(node):
            agent = add_ready_agent("agent", cluster)
            offerings.set_selling_policy(selling=True, now=cluster.now)
            assert offered(cluster) == 1, spoil

            spoil(agent)
            offerings.refresh_offering(cluster.now)

            assert offered(cluster) == 0, spoil
            assert Offering.objects.get().ended_reason == EndReason.NO_IDLE_AGENTS, spoil


def test_a_node_over_its_caps_offers_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster.acting(seller_with(cluster)):
        offerings.set_selling_policy(selling=True, now=cluster.now)
        monkeypatch.setattr(capacity, "full_because", lambda: "the load is too high")
        offerings.refresh_offering(cluster.now)

        assert offered(cluster) == 0


def test_an_agent_seen_lately_is_offered(cluster: Cluster) -> None:
    with cluster.acting(seller_with(cluster, agents=1)):
        agent = Agent.objects.get()
        note_seen([agent.id], now=cluster.now - timedelta(seconds=59))
        offerings.set_selling_policy(selling=True, now=cluster.now)

        assert offered(cluster) == 1


def test_selling_that_is_switched_off_stays_off(cluster: Cluster) -> None:
    with cluster.acting(seller_with(cluster)):
        offerings.set_selling_policy(selling=True, price_per_task=7, now=cluster.now)
        offerings.stop_selling(now=cluster.now)
        offerings.refresh_offering(cluster.now)

        assert offered(cluster) == 0
        assert selling.selling_policy().price_per_task == 7
        assert history() == [("announced", "", 3), ("withdrawn", "operator", 3)]
