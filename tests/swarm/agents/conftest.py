"""Real tmux servers of the tests' own, each on a private socket that ends with its test."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from swarm.agents.tmux import TmuxServer
from swarm.clean_env import clean_environment
from tests.support.agent_bench import Bench, running_bench
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
    async with running_bench(tmp_path, monkeypatch) as bench:
        yield bench
