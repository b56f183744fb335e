"""A remote on disk, and a node with a home of its own that no worker is told by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm import jobs as runner
from swarm.services import jobs
from tests.support.cluster import Cluster, make_template
from tests.support.git_remote import GitRemote
from tests.support.handing_over import Pair


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[GitRemote]:
    """A remote with one file on `main`; the test is a node with an empty home."""
    from p2p.local import LocalNode, acting_as, local_node

    jobs.nudge_with(lambda _: None)
    made = GitRemote(tmp_path)
    made.push("main", {"README": "hello\n"})
    home = tmp_path / "home"
    home.mkdir()
    node = local_node()
    with acting_as(LocalNode(home, node.identity, node.network, node.swarm)):
        yield made
    jobs.nudge_with(runner.nudge_worker)


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object) -> Path:
    path = tmp_path_factory.mktemp("template") / "node.sqlite3"
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        make_template(path)
    return path


@pytest.fixture
def pair(
    tmp_path: Path, template_database: Path, remote: GitRemote, django_db_blocker: object
) -> Iterator[Pair]:
    """Two members; the jobs of either run only when a test runs them."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        cluster = Cluster(folder=tmp_path, template=template_database)
        yield Pair.open(cluster)
        cluster.close()
