"""Simulated clusters for the trade."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplace import jobs as marketplace_jobs
from marketplace.services import results, sales
from swarm import jobs as swarm_jobs
from swarm.services import jobs
from tests.support.cluster import Cluster, make_template
from tests.support.market_network import content_of
from tests.support.market_start import Start


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object) -> Path:
    """A migrated, empty database, copied for every simulated node."""
    path = tmp_path_factory.mktemp("template") / "node.sqlite3"
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        make_template(path)
    return path


@pytest.fixture
def cluster(
    tmp_path: Path,
    template_database: Path,
    django_db_blocker: object,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Cluster]:
    """A cluster whose jobs run at once and whose remotes take and show everything."""
    monkeypatch.setattr(marketplace_jobs.Repository, "can_push", lambda *_: None)
    monkeypatch.setattr(marketplace_jobs, "objection_of_remote", lambda *_: "")
    jobs.nudge_with(_run_admission)
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        made = Cluster(folder=tmp_path, template=template_database)
        for module in (marketplace_jobs, swarm_jobs):
            monkeypatch.setattr(module, "now_utc", lambda: made.now)
        yield made
        made.close()
    jobs.nudge_with(swarm_jobs.nudge_worker)


@pytest.fixture
def market_start(
    tmp_path: Path, template_database: Path, django_db_blocker: object
) -> Iterator[Start]:
    """Where each example of a stateful test starts: three nodes, known to each other."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        yield Start(tmp_path, content_of(template_database))


def _run_admission(job_id: int) -> None:
    job = jobs.Job.objects.get(id=job_id)
    if job.kind in (sales.ADMIT, results.VERIFY):
        swarm_jobs.run_job(job_id)
