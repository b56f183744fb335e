"""Gives every test session a node's home of its own, before Django reads the environment.

That is why the settings module is named here and not in pytest's options: pytest-django would
load the settings before any conftest.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import django
import hypothesis
from django.conf import settings

# Read by the tests themselves: with `required` a test that lacks its service fails.
KEPT_VARIABLES = frozenset({"VOIDLUX_TEST_SERVICES", "VOIDLUX_AGENT_CLIS"})
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
