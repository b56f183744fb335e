"""Gives every test session a node's home of its own, before Django reads the environment.

That is why the settings module is named here and not in pytest's options: pytest-django would
load the settings before any conftest.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import django
import hypothesis
import pytest
from django.conf import settings
from django.db import connection

# Read by the tests themselves: with `required` a test that lacks its service fails.
KEPT_VARIABLES = frozenset({"VOIDLUX_TEST_SERVICES", "VOIDLUX_AGENT_CLIS"})
# The tests make hundreds of thousands of small files that nobody needs afterwards.
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 4 * 1024**3


def _work_in_memory() -> None:
    """Let temporary files be in memory where there is plenty, unless somebody named a place."""
    with contextlib.suppress(OSError):
        found = os.statvfs(MEMORY)
        may_run = not found.f_flag & os.ST_NOEXEC
        if may_run and found.f_bavail * found.f_frsize >= MEMORY_BYTES_MIN:
            os.environ.setdefault("TMPDIR", str(MEMORY))
            tempfile.tempdir = None  # pytest's capture has asked before


_work_in_memory()
SESSION_HOME = Path(tempfile.mkdtemp(prefix="voidlux-test-"))


def _isolate_environment() -> None:
    """Drop what the developer's shell happens to set, and name the home of this session."""
    for name in set(os.environ) - KEPT_VARIABLES:
        if name.startswith("VOIDLUX_") or name in {"DATABASE_URL", "REDIS_URL"}:
            del os.environ[name]
    os.environ["VOIDLUX_HOME"] = str(SESSION_HOME)
    os.environ["DJANGO_SETTINGS_MODULE"] = "voidlux_site.settings"


def pytest_unconfigure() -> None:
    """Remove the home when the session is over."""
    shutil.rmtree(SESSION_HOME, ignore_errors=True)


# A busy machine is no reason to fail: deadlines of tests are about hanging, not about speed.
hypothesis.settings.register_profile("suite", deadline=None)
# `make test-long` asks for this one.
hypothesis.settings.register_profile("long", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("suite")

_isolate_environment()
if not settings.configured:
    django.setup()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: object) -> None:
    """Let transactional tests empty the ledger: on SQLite that takes a DELETE."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        if connection.vendor == "sqlite":
            connection.cursor().execute("DROP TRIGGER IF EXISTS ledger_entry_never_deleted")
