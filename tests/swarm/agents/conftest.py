"""Real tmux servers of the tests' own, each on a private socket that ends with its test."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from p2p.database_thread import DatabaseThread
from p2p.local import LocalNode, acting_as, local_node
from swarm.agents import prompt_run, prompt_runner, steps
from swarm.agents.tmux import TmuxServer
from swarm.clean_env import clean_environment
from tests.support.agent_bench import Bench
from tests.support.terminals import end_terminals

SESSION = "agent-1"


@pytest.fixture
def tmux(monkeypatch: pytest.MonkeyPatch) -> Iterator[TmuxServer]:
    """A tmux server without sessions."""
    # tmux leaves its sockets behind, and their paths must be short.
    with tempfile.TemporaryDirectory(prefix="vltest-") as sockets:
        monkeypatch.setenv("TMUX_TMPDIR", sockets)
        server = TmuxServer(f"vltest-{uuid4().hex[:12]}")
        yield server
        end_terminals(server)


@pytest.fixture
def session(tmux: TmuxServer, worktree: Path) -> str:
    """The name of a live shell session that starts in `worktree`."""
    tmux.ensure_session(SESSION, cwd=worktree, env=clean_environment())
    return SESSION


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    """A directory whose name needs quoting."""
    path = tmp_path / "work tree's; $(touch pwned) #{pane_id} dir;"
    path.mkdir()
    return path


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Where a run keeps its files; its name needs quoting."""
    return tmp_path / "runs of 'agent'; $(touch pwned)" / "attempt-1"


@pytest.fixture
async def bench(
    tmp_path: Path, tmux: TmuxServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    """A node's agent loop at work; its database needs real transactions."""
    monkeypatch.setattr(prompt_runner, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(prompt_run, "EXIT_WAIT_S", 1.0)
    node = local_node()
    database = DatabaseThread()
    with acting_as(LocalNode(tmp_path / "home", node.identity, node.network, node.swarm)):
        bench = Bench(tmp_path, database)
        running = asyncio.create_task(bench.loop.run())
        try:
            yield bench
        finally:
            await bench.loop.stop()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            end_terminals(steps.tmux_server())
            database.stop()
