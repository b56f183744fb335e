"""How often and how the market's machine is run."""

from __future__ import annotations

import gc

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from tests.support.market_machine import MarketMachine

STEPS = 15  # acts in one example; a whole trade is one of them
GC_EVERY = 100_000  # objects
EXAMPLES = 100  # in the suite


def run_market(machine: type[MarketMachine]) -> None:
    """Run as many examples as the profile says; a failure is shrunk, and printed to be replayed.

    The suite runs the same ones each time, so that it fails only for a change; `long` others.
    """
    settings, before = _common(), gc.get_threshold()
    if hypothesis.settings.get_current_profile_name() == "suite":
        settings = hypothesis.settings(settings, derandomize=True, max_examples=EXAMPLES)
    gc.collect()
    # An example makes millions of short-lived objects: looking for cycles is a tenth of its cost.
    gc.set_threshold(GC_EVERY)
    try:
        run_state_machine_as_test(machine, settings=settings)
    finally:
        gc.set_threshold(*before)


def find_defect(machine: type[MarketMachine], *, within: int) -> None:
    """Run the same `within` examples each time, and end at the first that fails."""
    run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(
            _common(),
            max_examples=within,
            derandomize=True,
            database=None,
            phases=(Phase.generate,),
        ),
    )


def _common() -> hypothesis.settings:
    return hypothesis.settings(
        stateful_step_count=STEPS,
        print_blob=True,
        report_multiple_bugs=False,
        # An example is a whole market: what is slow for a value is not for it.
        suppress_health_check=list(HealthCheck),
    )
