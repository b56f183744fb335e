"""Simulated clusters for the trade."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from marketplace import jobs as marketplace_jobs
from swarm import jobs as swarm_jobs
from swarm.services import jobs
from tests.support.cluster import Cluster


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object) -> Path:
    """A migrated, empty database, copied for every simulated node."""
    path = tmp_path_factory.mktemp("template") / "node.sqlite3"
    before = connections["default"]
    own = {**before.settings_dict, "NAME": str(path)}
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        connections["default"] = DatabaseWrapper(own, alias="default")
        try:
            call_command("migrate", interactive=False, verbosity=0)
            connections["default"].cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connections["default"].close()
        finally:
            connections["default"] = before
    return path


@pytest.fixture
def cluster(
    tmp_path: Path,
    template_database: Path,
    django_db_blocker: object,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Cluster]:
    """A cluster whose jobs run at once and whose remotes can always be pushed to."""
    monkeypatch.setattr(marketplace_jobs.Repository, "can_push", lambda *_: None)
    jobs.nudge_with(_run_admission)
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        made = Cluster(folder=tmp_path, template=template_database)
        for module in (marketplace_jobs, swarm_jobs):
            monkeypatch.setattr(module, "now_utc", lambda: made.now)
        yield made
        made.close()
    jobs.nudge_with(swarm_jobs.nudge_worker)


def _run_admission(job_id: int) -> None:
    job = jobs.Job.objects.get(id=job_id)
    if job.kind == "admit_tribute":
        swarm_jobs.run_job(job_id)
