"""A missing service is never a silent pass."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.services import is_lacking, need_program


def test_a_program_that_is_there_is_fine() -> None:
    need_program(sys.executable)


def test_a_missing_program_skips_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VOIDLUX_TEST_SERVICES", raising=False)

    with pytest.raises(pytest.skip.Exception) as skipped:
        need_program(str(tmp_path / "chromium"))

    assert str(skipped.value) == f"{tmp_path}/chromium is not installed"


def test_a_missing_program_fails_where_services_are_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOIDLUX_TEST_SERVICES", "required")

    with pytest.raises(pytest.fail.Exception) as failed:
        need_program(str(tmp_path))

    assert str(failed.value) == (
        f"{tmp_path} is not installed, and VOIDLUX_TEST_SERVICES is required"
    )


def test_what_else_is_lacking_skips_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOIDLUX_TEST_SERVICES", raising=False)

    with pytest.raises(pytest.skip.Exception) as skipped:
        is_lacking("network namespaces need root")

    assert str(skipped.value) == "network namespaces need root"
