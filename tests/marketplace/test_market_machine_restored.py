"""The books of a market are right at last though nodes come back with old copies of them."""

from __future__ import annotations

import pytest

from tests.support.market_machine import MarketMachine
from tests.support.market_runs import run_market
from tests.support.market_start import Start


@pytest.mark.timeout(0)
def test_old_copies_of_databases_lose_no_payment(market_start: Start) -> None:
    class Market(MarketMachine):
        start = market_start
        restores = True

    run_market(Market)
