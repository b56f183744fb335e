"""A remote that could be pushed to some minutes ago is not tried again for each request."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marketplace import jobs as marketplace_jobs
from marketplace.models import Tribute
from marketplace.services import trials as trials_of_remotes
from p2p.protocol.errors import ExternalError
from swarm.models import Job
from tests.support.bargaining import bought
from tests.support.cluster import Cluster
from tests.support.trading import Market


@pytest.fixture
def market(cluster: Cluster) -> Market:
    """A buyer, and a seller with three idle agents."""
    return Market.open(cluster)


def trials(market: Market) -> int:
    """Return how often the seller has tried a remote."""
    with market.cluster.acting(market.seller):
        return Job.objects.filter(kind="admit_tribute").count()


def status(market: Market, tribute: Tribute) -> str:
    """Return the status of a tribute at its buyer."""
    return market.tribute(market.buyer, tribute.id).status


def test_a_second_request_for_a_remote_is_accepted_without_another_trial(market: Market) -> None:
    assert status(market, bought(market)) == "accepted"
    assert trials(market) == 1

    assert status(market, bought(market)) == "accepted"
    assert trials(market) == 1


def test_what_is_accepted_by_memory_does_not_prolong_it(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials_of_remotes, "TRIAL_COUNTS_S", 100.0)
    bought(market)
    market.cluster.now += timedelta(seconds=90)
    bought(market)
    assert trials(market) == 1

    market.cluster.now += timedelta(seconds=20)
    assert status(market, bought(market)) == "accepted"
    assert trials(market) == 2


def test_another_branch_is_tried_for_itself(market: Market) -> None:
    bought(market)
    with market.cluster.acting(market.seller):
        Tribute.objects.update(ref="another")

    bought(market)
    assert trials(market) == 2


def test_a_trial_that_fails_ends_the_memory_of_its_remote(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bought(market)
    refused = ExternalError("read only", retryable=False)
    monkeypatch.setattr(marketplace_jobs.Repository, "can_push", lambda *_: refused)
    with market.cluster.acting(market.seller):
        Tribute.objects.filter(id=first.id).update(ref="another")
    assert status(market, bought(market)) == "rejected"
    with market.cluster.acting(market.seller):
        assert not Tribute.objects.filter(tried_at__isnull=False).exists()
