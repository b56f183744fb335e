"""Whose requests a seller accepts, whom it asks the operator about, and whom it rejects."""

from __future__ import annotations

import pytest

from marketplace.models import Partner, SellingPolicy, Tribute
from marketplace.services import sales
from marketplace.services.hours import node_zone
from marketplace.services.partners import approve_partner, block_partner, forget_partner
from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.errors import NotFound
from tests.support.bargaining import ends, pass_on
from tests.support.cluster import Cluster
from tests.support.trading import GRANT, Market
from tests.support.web_clients import bearer_client

ACCEPTED, WAITS, NOT_ALLOWED = ("accepted", ""), ("pending", ""), ("rejected", "not_allowed")


def opened(cluster: Cluster, *, listed: bool, **policy: object) -> Market:
    """A market whose seller has a policy, and the buyer on its allow-list or not."""
    market = Market.open(cluster, agents=3)
    if not listed:
        market.seller.environment = market.seller.environment.model_copy(update={"allow_nodes": ()})
    with cluster.acting(market.seller):
        SellingPolicy.objects.update(**policy)
    return market


def answer(market: Market, count: int = 1) -> tuple[str, str]:
    """Ask for executions and return the seller's status and reject code."""
    tribute = market.request(market.goal(subtasks=1), count=count)
    pass_on(market, 3)
    seen = market.tribute(market.seller, tribute.id)
    if seen.status != "pending":
        assert market.tribute(market.buyer, tribute.id).status == seen.status
    return seen.status, seen.reason_code


@pytest.mark.parametrize(
    ("acceptance", "listed", "approved", "stranger"),
    [
        ("auto", ACCEPTED, ACCEPTED, WAITS),
        ("allowlist", ACCEPTED, NOT_ALLOWED, NOT_ALLOWED),
        ("manual", WAITS, WAITS, WAITS),
    ],
)
def test_who_is_accepted_waits_or_is_rejected(
    cluster: Cluster,
    acceptance: str,
    listed: tuple[str, str],
    approved: tuple[str, str],
    stranger: tuple[str, str],
) -> None:
    market = opened(cluster, listed=False, acceptance=acceptance)
    assert answer(market) == stranger

    with cluster.acting(market.seller):
        approve_partner(market.buyer.node_id, now=cluster.now)
    assert answer(market) == approved

    with cluster.acting(market.seller):
        forget_partner(market.buyer.node_id)
    market.seller.environment = market.seller.environment.model_copy(
        update={"allow_nodes": (market.buyer.node_id,)}
    )
    assert answer(market) == listed

    with cluster.acting(market.seller):
        block_partner(market.buyer.node_id, now=cluster.now)
    assert answer(market) == NOT_ALLOWED


def test_a_stranger_that_is_remembered_is_not_asked_about_again(cluster: Cluster) -> None:
    market = opened(cluster, listed=False)
    first = market.request(market.goal(subtasks=1), count=1)
    pass_on(market, 2)
    with cluster.acting(market.seller):
        sales.accept_by_operator(first.id, remember=True, now=cluster.now)
    pass_on(market)
    assert ends(market, first.id) == ("accepted", "accepted")

    assert answer(market) == ACCEPTED
    with cluster.acting(market.seller):
        assert [each.standing for each in Partner.objects.all()] == ["approved"]


def test_a_stranger_that_is_accepted_once_is_asked_about_again(cluster: Cluster) -> None:
    market = opened(cluster, listed=False)
    first = market.request(market.goal(subtasks=1), count=1)
    pass_on(market, 2)
    with cluster.acting(market.seller):
        sales.accept_by_operator(first.id, now=cluster.now)
    pass_on(market)

    assert ends(market, first.id) == ("accepted", "accepted")
    assert answer(market) == WAITS


def test_a_buyer_has_so_many_unsettled_executions_at_most(cluster: Cluster) -> None:
    market = opened(cluster, listed=True, executions_per_buyer_max=2)

    assert answer(market, count=1) == ACCEPTED
    assert answer(market, count=2) == ("rejected", "buyer_limit")
    assert answer(market, count=1) == ACCEPTED
    assert market.wallet(market.buyer) == (GRANT, 14)


def test_work_is_taken_within_the_policys_hours_only(cluster: Cluster) -> None:
    hour = cluster.now.astimezone(node_zone()).hour
    closed = f"{(hour + 2) % 24:02}:00-{(hour + 3) % 24:02}:00"
    market = opened(cluster, listed=True, hours=closed)

    assert answer(market) == ("rejected", "outside_hours")


def test_partners_are_decided_on_over_the_api(cluster: Cluster) -> None:
    market = opened(cluster, listed=False)
    path = f"/api/swarm/partners/{market.buyer.node_id}"
    with cluster.acting(market.seller):
        client = bearer_client()
        assert client.get(path).status_code == 404
        body = {"standing": "blocked", "note": "never paid"}
        put = client.put(path, body, content_type="application/json")
        assert (put.status_code, put.json()["standing"], put.json()["note"]) == (
            200,
            "blocked",
            "never paid",
        )
        assert client.get(path).json() == put.json()
        assert [each["node_id"] for each in client.get("/api/swarm/partners").json()["items"]] == [
            market.buyer.node_id
        ]
        assert client.delete(path).status_code == 200
        assert client.delete(path).status_code == 404
        wrong = client.put("/api/swarm/partners/me", body, content_type="application/json")
        assert (wrong.status_code, wrong.json()["code"]) == (422, "bad_node_id")


def test_an_operator_accepts_and_cancels_over_the_api(cluster: Cluster) -> None:
    cluster.now = now_utc()  # the API lives at real time
    market = opened(cluster, listed=False)
    tribute = market.request(market.goal(subtasks=1), count=1)
    pass_on(market, 2)
    with cluster.acting(market.seller):
        client = bearer_client()
        path = f"/api/swarm/tributes/{tribute.id.hex}"
        accepted = client.post(
            f"{path}/accept", {"remember": True}, content_type="application/json"
        )
        assert accepted.status_code == 200, accepted.content
        cancelled = client.post(f"{path}/cancel", {"reason": "no"}, content_type="application/json")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        assert Tribute.objects.get().reason_code == "cancelled_by_seller"
        assert client.get("/api/swarm/refusals").json()["items"] == []
    pass_on(market)
    assert ends(market, tribute.id) == ("cancelled", "cancelled")


def test_what_was_never_decided_cannot_be_forgotten(cluster: Cluster) -> None:
    market = opened(cluster, listed=True)
    with cluster.acting(market.seller), pytest.raises(NotFound):
        forget_partner(market.buyer.node_id)
    with cluster.acting(market.seller), pytest.raises(DomainError) as refused:
        approve_partner(market.seller.node_id, now=cluster.now)
    assert refused.value.code == "bad_node_id"
