from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.mesh_nodes import Nodes


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    started = Nodes()
    yield started
    await started.stop()
