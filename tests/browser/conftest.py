"""The browser suite needs Chromium before it starts any node."""

from __future__ import annotations

import pytest

from tests.support.services import need_program

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="session", autouse=True)
def _chromium() -> None:
    need_program(CHROMIUM)
