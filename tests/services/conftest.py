"""PostgreSQL and Redis for the whole folder; every test gets an empty database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p.local import LocalNode, acting_as
from p2p.protocol.identity import Identity
from p2p.registration import registry
from swarm import jobs as swarm_jobs
from swarm.services import jobs
from tests.support.racing import Database
from tests.support.services import Postgres, running_postgres, running_redis

NETWORK = "galaxy"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, so that one word picks or skips all of them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.processes)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL cluster."""
    with running_postgres() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The REDIS_URL of a Redis."""
    with running_redis() as url:
        yield url


@pytest.fixture(scope="session")
def migrated(postgres: Postgres, django_db_blocker: pytest.FixtureRequest) -> Database:
    """A database with all tables."""
    made = Database(postgres.create("races"))
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        made.migrate()
    return made


@pytest.fixture
def database(
    migrated: Database, tmp_path: Path, django_db_blocker: pytest.FixtureRequest
) -> Iterator[Database]:
    """An empty database that the services of this thread use, as a node of its own."""
    registry.freeze()
    local = LocalNode(tmp_path, Identity.generate(), NETWORK, "home")
    jobs.nudge_with(lambda _: None)
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        migrated.clear()
        with acting_as(local), migrated.used():
            yield migrated
    jobs.nudge_with(swarm_jobs.nudge_worker)
