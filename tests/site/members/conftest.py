"""Members of one swarm, each with its web pages; what one passes on reaches the emperor."""

from __future__ import annotations

import pytest

from tests.support.swarm_of_three import Swarm
from tests.support.wire_of_members import Wire
from tests.swarm.replication.conftest import cluster, swarm, template_database
from voidlux_site.forwarding import passing_on

__all__ = ["cluster", "swarm", "template_database", "wire"]


@pytest.fixture
def wire(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """The way to the emperor."""
    made = Wire(swarm.cluster, swarm.emperor)
    monkeypatch.setattr(passing_on, "carry", made.carry)
    return made
