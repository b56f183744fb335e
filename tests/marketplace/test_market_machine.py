"""Any order of trades, faults and time leaves the books of a market right, at every step."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis.stateful import run_state_machine_as_test

from tests.support.market_machine import MarketMachine
from tests.support.market_network import content_of

STEPS = 30


@pytest.mark.timeout(0)
def test_the_books_of_a_market_are_right_whatever_happens(
    tmp_path: Path, template_database: Path, django_db_blocker: pytest.FixtureRequest
) -> None:
    class Market(MarketMachine):
        folder = tmp_path
        content = content_of(template_database)

    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        run_state_machine_as_test(
            Market,
            settings=hypothesis.settings(
                stateful_step_count=STEPS,
                print_blob=True,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
