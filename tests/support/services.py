"""What tests need of the machine beyond Python: skipped with the reason, or failed where asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REQUIRED = "required"


def need_program(path: str) -> None:
    """Skip the test where `path` is no program; with VOIDLUX_TEST_SERVICES=required fail it."""
    if os.access(path, os.X_OK) and Path(path).is_file():
        return
    reason = f"{path} is not installed"
    if os.environ.get("VOIDLUX_TEST_SERVICES") == REQUIRED:
        pytest.fail(f"{reason}, and VOIDLUX_TEST_SERVICES is {REQUIRED}", pytrace=False)
    pytest.skip(reason)
