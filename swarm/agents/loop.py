"""The agent loop of a node: keeps sessions alive and a runner on every open attempt."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from uuid import UUID

from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.pausing import rung_within
from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents import prompts, steps
from swarm.agents.adapters import tool_named
from swarm.agents.monitor import Monitor, Publish
from swarm.agents.prompt_runner import PromptRunner
from swarm.agents.runner import Runner
from swarm.agents.threads import on_thread
from swarm.models import Agent
from swarm.queries import all_sessions, idle_sessions, unfinished_attempts
from swarm.services.agents import judge_agent, note_crash, note_seen
from swarm.states import AgentStatus

log = logging.getLogger(__name__)

TEND_EVERY_S = 5.0
KEPT_FIRST_S = 5.0
KEPT_MAX_S = 900.0


class AgentLoop:
    """Owns the runners; a failing one is logged and ends no other."""

    def __init__(
        self,
        database: DatabaseThread,
        rung: asyncio.Event,
        monitor_rung: asyncio.Event | None = None,
        publish: Publish | None = None,
    ) -> None:
        """Take the bells of loop and monitor; `publish` shows a screen to who watches it."""
        self._database = database
        self._rung = rung
        self._monitor = Monitor(database, monitor_rung or asyncio.Event(), publish)
        self._monitoring: asyncio.Task[None] | None = None
        self._runners: dict[UUID, asyncio.Task[bool]] = {}
        self._kept: dict[UUID, int] = {}
        self._not_before: dict[UUID, float] = {}
        self._tended_at = float("-inf")
        self._stopping = False
        self._round = asyncio.Lock()

    async def run(self) -> None:
        """Tend sessions and start runners at every ring and every 5 s, until stopped."""
        self._monitoring = asyncio.create_task(self._monitor.run(), name="agent monitor")
        while not self._stopping:
            async with self._round:
                await self._look_around()
            await rung_within(self._rung, TEND_EVERY_S)
            self._rung.clear()

    async def stop(self) -> None:
        """Stop the runners and end the sessions without unfinished work; runs go on in theirs."""
        # A round that is under way would start again what is ended here.
        async with self._round:
            self._stopping = True
        tasks = [*self._runners.values(), *filter(None, [self._monitoring])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        names = await self._database.run(idle_sessions)
        try:
            await on_thread(steps.kill_sessions, names)
        except (DomainError, ExternalError) as failure:
            log.warning("idle sessions were not ended: %s", failure)

    async def _look_around(self) -> None:
        if self._stopping:
            return
        try:
            await self._start_runners()
            await self._tend_sessions()
        except Exception:
            log.exception("the agent loop failed and goes on")

    async def _start_runners(self) -> None:
        unfinished = await self._database.run(unfinished_attempts)
        for attempt_id, tool in unfinished.items():
            if attempt_id in self._runners:
                continue
            if time.monotonic() < self._not_before.get(attempt_id, 0.0):
                continue
            self._not_before.pop(attempt_id, None)
            kind = PromptRunner if _takes_prompts(tool) else Runner
            runner = kind(attempt_id, self._database)
            task = asyncio.create_task(runner.run(), name=f"attempt {attempt_id.hex[:8]}")
            self._runners[attempt_id] = task
            task.add_done_callback(partial(self._ended, attempt_id))

    def _ended(self, attempt_id: UUID, task: asyncio.Task[bool]) -> None:
        self._runners.pop(attempt_id, None)
        if task.cancelled():
            return
        if error := task.exception():
            log.error("runner of attempt %s failed", attempt_id, exc_info=error)
            self._not_before[attempt_id] = time.monotonic() + TEND_EVERY_S
            return
        if task.result():
            self._kept.pop(attempt_id, None)
            return
        # A worktree that has to stay is looked at again, as long as its remote may come back.
        looks = self._kept.get(attempt_id, 0)
        self._kept[attempt_id] = looks + 1
        delay_s = min(KEPT_MAX_S, KEPT_FIRST_S * 2 ** min(looks, 10))
        self._not_before[attempt_id] = time.monotonic() + delay_s

    async def _tend_sessions(self) -> None:
        """Start new agents at once; look at all of them every 5 s, with one question to tmux."""
        due = time.monotonic() - self._tended_at >= TEND_EVERY_S
        if due:
            self._tended_at = time.monotonic()
        agents = await self._database.run(_agents_to_tend)
        if not due:
            agents = [agent for agent in agents if agent.status == AgentStatus.STARTING]
        if agents:
            ended = await on_thread(steps.ended_sessions)
            for agent in agents:
                await self._tend(agent, ended)
            # A loop that cannot look, as without tmux, leaves them unseen, and so unsold.
            seen = [agent.id for agent in agents]
            await self._database.run(partial(note_seen, seen, now=now_utc()))
        if due:
            await self._end_strays()

    async def _end_strays(self) -> None:
        """End the sessions of agents that were removed."""
        try:
            live = await on_thread(steps.live_sessions)
            # Agents are asked for second: a session is never older than its agent.
            strays = live - set(await self._database.run(all_sessions))
            if strays:
                await on_thread(steps.kill_sessions, sorted(strays))
        except (DomainError, ExternalError) as failure:
            log.warning("sessions of removed agents were not ended: %s", failure)

    async def _tend(self, agent: Agent, ended: dict[str, int | None]) -> None:
        """See that an agent without work can take some, and say so or why not.

        `ended` holds the exit codes of the sessions that there are, None where one is alive.
        """
        code = ended.get(agent.session)
        if code is not None and agent.status == AgentStatus.READY:
            await on_thread(steps.kill_sessions, [agent.session])
            evidence = f"{agent.tool} ended with {code}"
            await self._database.run(note_crash, agent.id, evidence, now=now_utc())
            return
        try:
            rule, evidence = await on_thread(
                _make_ready, agent, code is None and agent.session in ended
            )
            status = AgentStatus.READY
        except (DomainError, ExternalError) as failure:
            status, evidence = AgentStatus.EXITED, str(failure)
            rule = getattr(failure, "code", "session_not_started")
        if (agent.status, agent.rule) == (status, rule):
            return
        if agent.status == status == AgentStatus.READY:
            return
        await self._database.run(
            judge_agent,
            agent.id,
            status,
            source="tmux" if rule.startswith("session") else "tool",
            rule=rule,
            evidence=evidence,
            now=now_utc(),
        )


def _make_ready(agent: Agent, alive: bool) -> tuple[str, str]:
    """Start the agent's session where its tool keeps one; return by which rule it is ready."""
    tool = tool_named(agent.tool)
    if tool.deliver == "prompt":
        found = prompts.require_tool(tool)
        return "tool_installed", f"{found} is started in a session of its own for each task"
    if not alive:
        steps.ensure_session(agent)
    return "session_alive", f"session {agent.session} waits at its prompt"


def _takes_prompts(tool: str) -> bool:
    try:
        return bool(tool) and tool_named(tool).deliver == "prompt"
    except DomainError:
        return False  # its runner will say what is wrong with the tool


def _agents_to_tend() -> list[Agent]:
    """Return agents without work but those that have to wait after a crash."""
    now = now_utc()
    idle = Agent.objects.filter(attempt__isnull=True).exclude(rule="crash_loop")
    return list(idle.exclude(restart_at__gt=now))
