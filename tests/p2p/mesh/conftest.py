from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.mesh_nodes import Nodes


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
async def nodes(request: pytest.FixtureRequest) -> AsyncIterator[Nodes]:
    started = Nodes(with_tls=request.param)
    yield started
    await started.stop()
