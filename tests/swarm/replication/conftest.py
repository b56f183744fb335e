"""Simulated swarms whose jobs wait: plans are stored and results judged by the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm import jobs as swarm_jobs
from swarm.services import jobs
from tests.support.cluster import Cluster, make_template
from tests.support.swarm_of_three import Swarm


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object) -> Path:
    """A migrated, empty database, copied for every simulated node."""
    path = tmp_path_factory.mktemp("template") / "node.sqlite3"
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        make_template(path)
    return path


@pytest.fixture
def cluster(
    tmp_path: Path, template_database: Path, django_db_blocker: object
) -> Iterator[Cluster]:
    """A cluster whose jobs are queued and never run."""
    jobs.nudge_with(lambda job_id: None)
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        made = Cluster(folder=tmp_path, template=template_database)
        yield made
        made.close()
    jobs.nudge_with(swarm_jobs.nudge_worker)


@pytest.fixture
def swarm(cluster: Cluster) -> Swarm:
    """An emperor without agents and two workers with one agent each."""
    return Swarm.open(cluster)
