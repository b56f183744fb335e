"""Seeds 60 to 279 of elections hold; in three files, of which `make test` runs the first."""

from __future__ import annotations

import pytest

from tests.simulation.election.world import run_seed

pytestmark = pytest.mark.seeds


@pytest.mark.parametrize("seed", range(60, 280))
def test_every_claim_holds(seed: int) -> None:
    run_seed(seed)
