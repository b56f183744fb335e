"""Any order of trades, faults and time leaves the books of a market right, at every step."""

from __future__ import annotations

import pytest

from tests.support.market_machine import MarketMachine
from tests.support.market_runs import run_market
from tests.support.market_start import Start


@pytest.mark.timeout(0)
def test_the_books_of_a_market_are_right_whatever_happens(market_start: Start) -> None:
    class Market(MarketMachine):
        start = market_start

    run_market(Market)
