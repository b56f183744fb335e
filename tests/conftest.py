"""Gives every test session a node's home of its own, before Django reads the environment."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

SESSION_HOME = Path(tempfile.mkdtemp(prefix="voidlux-test-"))

# What the shell of the developer happens to set must not reach the tests.
for name in list(os.environ):
    if name.startswith("VOIDLUX_") or name in {"DATABASE_URL", "REDIS_URL"}:
        del os.environ[name]
os.environ["VOIDLUX_HOME"] = str(SESSION_HOME)


def pytest_unconfigure() -> None:
    """Remove the home when the session is over."""
    shutil.rmtree(SESSION_HOME, ignore_errors=True)
