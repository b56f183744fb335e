"""Simulated swarms whose emperor is lost, and whose jobs wait."""

from __future__ import annotations

import pytest

from tests.support.cluster import Cluster
from tests.support.electing import Elections
from tests.support.successions import Succession
from tests.swarm.replication.conftest import cluster as cluster
from tests.swarm.replication.conftest import template_database as template_database

THREE = {"emperor": "emperor", "first": "worker", "second": "worker"}


@pytest.fixture
def elections(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Elections:
    """An emperor in its first term and two members that follow it."""
    made = Elections.open(cluster, monkeypatch, THREE)
    made.run(2)
    return made


@pytest.fixture
def succession(cluster: Cluster) -> Succession:
    """Three members, and an agent at the third."""
    return Succession.open(cluster, "third")
