"""Seeds 280 to 499 of elections hold; in three files, of which `make test` runs the first."""

from __future__ import annotations

import pytest

from tests.simulation.election.world import run_seed

pytestmark = pytest.mark.seeds


@pytest.mark.parametrize("seed", range(280, 500))
def test_every_claim_holds(seed: int) -> None:
    run_seed(seed)
