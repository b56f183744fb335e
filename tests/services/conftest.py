"""PostgreSQL and Redis for the whole folder; every test gets a database of its own."""

from __future__ import annotations

import uuid
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
TEMPLATE = "migrated"


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
def template(postgres: Postgres, django_db_blocker: pytest.FixtureRequest) -> str:
    """The name of a database with all tables and no rows."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        Database(postgres.create(TEMPLATE)).migrate()
    return TEMPLATE


@pytest.fixture
def database(
    postgres: Postgres,
    template: str,
    tmp_path: Path,
    django_db_blocker: pytest.FixtureRequest,
) -> Iterator[Database]:
    """A database that the services of this thread use, as a node of its own."""
    made = Database(postgres.create(f"node_{uuid.uuid4().hex[:8]}", template))
    registry.freeze()
    local = LocalNode(tmp_path, Identity.generate(), NETWORK, "home")
    jobs.nudge_with(lambda _: None)
    with django_db_blocker.unblock(), acting_as(local), made.used():  # type: ignore[attr-defined]
        yield made
    jobs.nudge_with(swarm_jobs.nudge_worker)
