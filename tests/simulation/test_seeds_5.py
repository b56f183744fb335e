"""Seeds 100 to 124 hold; eight files of seeds, so that two workers share them evenly."""

from __future__ import annotations

import pytest

from tests.simulation.world import run_seed

pytestmark = pytest.mark.seeds


@pytest.mark.parametrize("seed", range(100, 125))
def test_every_invariant_holds(seed: int) -> None:
    run_seed(seed)
