"""One node's agent loop with a fake agent CLI and a repository, for tests of whole runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.local import LocalNode, acting_as, local_node
from swarm.agents import prompt_run, prompt_runner, steps
from swarm.agents.loop import AgentLoop
from swarm.agents.models import Delivery
from swarm.agents.sockets import session_name
from swarm.models import Agent, Attempt
from swarm.services.agents import register_agent
from swarm.services.attempts import Assignment, start_attempt
from swarm.states import TaskStatus
from tests.support.factories import make_task
from tests.support.fake_tool import FakeTool
from tests.support.git_remote import GitRemote
from tests.support.terminals import end_terminals


class Bench:
    """One node's agent loop, one agent with the fake CLI, one repository."""

    def __init__(self, folder: Path, database: DatabaseThread) -> None:
        self.home = folder / "home"
        self.fake = FakeTool(folder / "fake")
        self.fake.install(self.home)
        (folder / "git").mkdir()
        self.remote = GitRemote(folder / "git")
        self.base = self.remote.push("main", {"README": "hello\n"})
        self.database = database
        self.bell = asyncio.Event()
        self.monitor_bell = asyncio.Event()
        self.screens: list[dict[str, Any]] = []
        self.loop = self.new_loop()
        self.agent_id: Any = None
        self.attempt_id: Any = None
        self.tribute_id: UUID | None = None

    def new_loop(self) -> AgentLoop:
        """Return a loop as a node makes it at its start."""
        return AgentLoop(self.database, self.bell, self.monitor_bell, self._publish)

    async def _publish(self, agent_id: Any, event: dict[str, Any]) -> None:
        self.screens.append(event)

    async def db(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.database.run(function, *args, **kwargs)

    def ring(self) -> None:
        self.bell.set()
        self.monitor_bell.set()

    async def register(self) -> Agent:
        agent = await self.db(
            register_agent, name="fay", tool="fake", capabilities=[], now=now_utc()
        )
        self.agent_id = agent.id
        self.ring()
        return agent

    async def agent(self) -> Agent:
        return await self.db(lambda: Agent.objects.get(id=self.agent_id))

    async def attempt(self) -> Attempt:
        return await self.db(lambda: Attempt.objects.get(id=self.attempt_id))

    async def delivery(self) -> Delivery | None:
        return await self.db(lambda: Delivery.objects.filter(attempt_id=self.attempt_id).first())

    async def until(self, look: Any, limit_s: float = 20.0) -> Any:
        """Return the first true value of an async look."""
        async with asyncio.timeout(limit_s):
            while not (value := await look()):
                await asyncio.sleep(0.05)
                self.ring()
            return value

    async def until_agent(self, status: str, rule: str = "") -> Agent:
        async def look() -> Agent | None:
            agent = await self.agent()
            return agent if agent.status == status and rule in ("", agent.rule) else None

        return await self.until(look)

    async def until_attempt(self, status: str) -> Attempt:
        async def look() -> Attempt | None:
            attempt = await self.attempt()
            return attempt if attempt.status == status else None

        return await self.until(look)

    async def until_delivery(
        self, status: str, reason: str = "", stalled: bool = False
    ) -> Delivery:
        async def look() -> Delivery | None:
            row = await self.delivery()
            fits = row is not None and row.status == status and reason in row.reason
            return row if fits and stalled == (row.stalled_at is not None) else None

        return await self.until(look)

    async def assign(self, instructions: str = "Write hello.txt.") -> None:
        """Register, wait until it is ready, and give it a task."""
        await self.register()
        agent = await self.until_agent("ready")
        self.attempt_id = await self.db(self._assign, agent, instructions)
        self.ring()

    def _assign(self, agent: Agent, instructions: str) -> Any:
        goal = make_task("Goal", TaskStatus.IN_PROGRESS, repository=str(self.remote.path))
        task = make_task(
            "Say hello",
            TaskStatus.CLAIMED,
            parent=goal,
            number=1,
            attempt=1,
            generation=1,
            assigned_node=local_node().node_id,
            lease_expires_at=now_utc(),
        )
        attempt = start_attempt(
            Assignment(
                task_id=task.id,
                assigner_node_id=local_node().node_id,
                title=task.title,
                instructions=instructions,
                shell="",
                feedback="",
                repository=str(self.remote.path),
                number=1,
                generation=1,
                base_commit=self.base,
                tribute_id=self.tribute_id,
            ),
            [agent],
            now=now_utc(),
        )
        assert attempt is not None
        return attempt.id

    async def claim(self, commit: str = "") -> None:
        """Say over MCP that it is done, as the server does."""
        columns = {"said_done_at": now_utc(), "said_commit": commit, "summary": "did it"}
        await self.db(lambda: Attempt.objects.filter(id=self.attempt_id).update(**columns))
        self.ring()

    def press(self, *keys: str) -> None:
        steps.tmux_server().send_keys(self.session, keys)

    @property
    def session(self) -> str:
        return session_name(self.agent_id.hex)


@contextlib.asynccontextmanager
async def running_bench(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """Let a node's agent loop work; all that it started has ended afterwards."""
    monkeypatch.setattr(prompt_runner, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(prompt_run, "EXIT_WAIT_S", 1.0)
    node = local_node()
    database = DatabaseThread()
    with acting_as(LocalNode(folder / "home", node.identity, node.network, node.swarm)):
        bench = Bench(folder, database)
        running = asyncio.create_task(bench.loop.run())
        try:
            yield bench
        finally:
            await bench.loop.stop()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            end_terminals(steps.tmux_server())
            database.stop()
