"""The real agent programs, installed once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.agent_clis import installed_programs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: they are run by themselves."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.agent_clis)


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder with the programs."""
    return installed_programs()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that is not in memory: the sandbox of codex has a /dev without /dev/shm."""
    with TemporaryDirectory(prefix="voidlux-agents-", dir="/var/tmp") as folder:
        yield Path(folder)
