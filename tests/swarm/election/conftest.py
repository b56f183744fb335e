"""Simulated swarms whose emperor is lost, and whose jobs wait."""

from __future__ import annotations

from tests.swarm.replication.conftest import cluster as cluster
from tests.swarm.replication.conftest import template_database as template_database
