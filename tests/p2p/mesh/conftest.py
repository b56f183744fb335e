from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.support.mesh_nodes import Nodes

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, LoopFactory]:
    """Run the tests of the mesh as a node runs, and on the loop of a machine without uvloop."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    """Nodes with TLS on uvloop, and without on asyncio's own loop."""
    with_uvloop = isinstance(asyncio.get_running_loop(), uvloop.Loop)
    started = Nodes(with_tls=with_uvloop)
    yield started
    await started.stop()
