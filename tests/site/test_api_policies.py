"""The owner's policies over REST."""

from __future__ import annotations

from typing import Any

import pytest

from marketplace.models import BuyingPolicy
from tests.support.web_clients import bearer_client

BUYING = "/api/swarm/policies/buying"
WISH = {"overflow": True, "budget_per_day": 50, "price_max": 3, "strangers": False}


def _put(body: dict[str, Any]) -> Any:
    return bearer_client().put(BUYING, body, content_type="application/json")


def test_buying_by_itself_is_off_until_the_owner_switches_it_on(db: None) -> None:
    assert bearer_client().get(BUYING).json() == {
        "overflow": False,
        "budget_per_day": 0,
        "budget_left": 0,
        "price_max": 1,
        "strangers": False,
    }
    assert _put(WISH).json() == {**WISH, "budget_left": 50}
    assert bearer_client().get(BUYING).json() == {**WISH, "budget_left": 50}


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget_per_day": -1},
        {"budget_per_day": 10**12 + 1},
        {"price_max": -1},
        {"price_max": 1.5},
        {"budget_per_day": 0},
        {"unknown": 1},
    ],
)
def test_a_wrong_wish_is_refused_and_nothing_is_stored(db: None, wrong: dict[str, Any]) -> None:
    answer = _put({**WISH, **wrong})

    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.content.decode()
    assert not BuyingPolicy.objects.exists()
