"""Follows the terminals of a node's agents: output as it comes, and every one each 5 s."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.local import local_node
from p2p.pausing import rung_within
from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents.adapters import Dialog, ToolAdapter, all_tools
from swarm.agents.control import ControlClient
from swarm.agents.deliverer import Deliverer
from swarm.agents.judging import REDRAW_S, Judgement, as_stored
from swarm.agents.looking import Memory, Pane, judged
from swarm.agents.signals import last_signal
from swarm.agents.sockets import socket_name
from swarm.agents.streams import Streams
from swarm.agents.texts import without_escapes
from swarm.agents.tmux import PANE_FORMAT, TmuxServer, parse_pane
from swarm.agents.views import AgentView, load_views
from swarm.agents.window_watch import WindowWatch
from swarm.services.agents import judge_agent

log = logging.getLogger(__name__)

FLOOR_S = 5.0
SETTLE_S = 0.15  # a redraw comes in pieces
QUIET_EVERY_S = 1.0  # a spinner alone is looked at no more often
EAGER_EVERY_S = 0.25  # while somebody watches, or a text is on its way
LOAD_EVERY_S = 0.2

Publish = Callable[[UUID, dict[str, Any]], Awaitable[None]]


class Monitor:
    """One reader and one tmux client for all agents of the node."""

    def __init__(
        self, database: DatabaseThread, rung: asyncio.Event, publish: Publish | None = None
    ) -> None:
        """Take the bell that rings at commits; `publish` shows a screen to who watches it."""
        self._database = database
        self._rung = rung
        self._wake = asyncio.Event()
        self._publish = publish
        self._tmux = TmuxServer(socket_name())
        self._control = ControlClient(socket_name())
        self._streams = Streams(local_node().home / "streams", self._put_out)
        self._deliverer = Deliverer(self._tmux, database, self._read_anew)
        self._windows = WindowWatch(database)
        self._tools: dict[str, ToolAdapter] = {}
        self._views: dict[str, AgentView] = {}
        self._memory: dict[str, Memory] = {}
        self._due_at: dict[str, float] = {}
        self._looked_at: dict[str, float] = {}
        self._shown: dict[str, str] = {}
        self._loaded_at = self._floor_at = float("-inf")
        self._stale = True

    async def run(self) -> None:
        """Look until cancelled; a look that fails is logged and ends nothing."""
        listening = asyncio.create_task(self._listen(), name="monitor's bell")
        try:
            while True:
                await rung_within(self._wake, self._pause_s())
                self._wake.clear()
                try:
                    await self._round()
                except Exception:
                    log.exception("the monitor failed and goes on")
                    await asyncio.sleep(EAGER_EVERY_S)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            self._streams.keep_only(set())
            self._deliverer.stop()
            self._windows.stop()
            await self._control.close()

    async def _listen(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            self._read_anew()

    def _pause_s(self) -> float:
        """Return the seconds until the next look or load is due."""
        now = time.monotonic()
        due = min(self._due_at.values(), default=now + FLOOR_S)
        if self._stale:
            due = min(due, self._loaded_at + LOAD_EVERY_S)
        return max(0.0, min(due - now, FLOOR_S))

    async def _round(self) -> None:
        now = time.monotonic()
        floor = now - self._floor_at >= FLOOR_S
        if floor or (self._stale and now - self._loaded_at >= LOAD_EVERY_S):
            await self._load()
        if floor:
            self._floor_at = now
            self._due_at.update(dict.fromkeys(self._views, now))
        due = [session for session, at in self._due_at.items() if at <= time.monotonic()]
        if not due:
            return
        panes = await self._panes()
        for session in due:
            self._due_at.pop(session, None)
            if (view := self._views.get(session)) is not None:
                await self._look(view, panes.get(session))

    async def _load(self) -> None:
        self._stale, self._loaded_at = False, time.monotonic()
        self._tools = _usable_tools()
        prompts = {tool.name for tool in self._tools.values() if tool.deliver == "prompt"}
        typed = self._deliverer.typed()
        views = await self._database.run(load_views, prompts, now_utc())
        self._deliverer.release(typed)
        before, self._views = self._views, {view.session: view for view in views}
        for table in (self._memory, self._due_at, self._looked_at, self._shown):
            for session in set(table) - set(self._views):
                del table[session]
        self._streams.keep_only(set(self._views))
        for session, view in self._views.items():
            known = before.get(session)
            if known is None or known.run_dir != view.run_dir:
                self._memory.pop(session, None)
            if known != view:
                self._due_at[session] = time.monotonic()
                await self._streams.follow(self._tmux, session)

    async def _panes(self) -> dict[str, Pane]:
        if not self._views:
            return {}
        try:
            lines = await self._control.ask("list-panes", "-a", "-F", PANE_FORMAT)
        except ExternalError:
            # It was attached to a session that ended, or there is none: asked once more.
            try:
                lines = await self._control.ask("list-panes", "-a", "-F", PANE_FORMAT)
            except ExternalError as failure:
                log.debug("no panes: %s", failure)
                return {}
        parsed = (parse_pane(line) for line in lines)
        return {session: Pane(ended) for session, ended in parsed}

    async def _look(self, view: AgentView, pane: Pane | None) -> None:
        now, tool = now_utc(), self._tools.get(view.tool)
        self._looked_at[view.session] = time.monotonic()
        memory = self._memory.setdefault(view.session, Memory(first_look_at=now))
        screen = await self._capture(view.session) if pane is not None else None
        if screen is not None:
            await self._streams.follow(self._tmux, view.session)
            await self._show(view, now)
        run_dir = view.run_dir
        if tool is None or run_dir is None:
            return
        if screen is not None:
            memory.note_screen(tool, screen, now)
            view = await self._windows.heed(view, tool, memory, now)
        judgement = judged(view, tool, pane, last_signal(run_dir), memory, now)
        await self._tell(view, judgement, memory, now)
        await self._windows.forget(view, memory, judgement.state, now)
        await self._deliverer.tend(view, tool, judgement, memory.screen, now)
        if view.delivery is not None and not view.delivery.stalled:
            self._plan(view.session, EAGER_EVERY_S)
        elif memory.awaits_redraw:
            self._plan(view.session, REDRAW_S)

    async def _capture(self, session: str, flags: str = "-p") -> str | None:
        pane = f"={session}:0.0"
        try:
            return "\n".join(await self._control.ask("capture-pane", flags, "-t", pane))
        except ExternalError as failure:
            log.debug("no screen: %s", failure)
            return None

    async def _tell(
        self, view: AgentView, judgement: Judgement, memory: Memory, now: datetime
    ) -> None:
        dialog = memory.dialog if judgement.state == "blocked" else None
        dialog_id = memory.dialog_id if dialog else ""
        if (view.status, view.source, view.rule, view.dialog_id) == (
            judgement.state,
            judgement.source,
            judgement.rule,
            dialog_id,
        ):
            return
        await self._database.run(
            judge_agent,
            view.id,
            judgement.state,
            source=judgement.source,
            rule=judgement.rule,
            evidence=judgement.evidence,
            now=now,
            considered=as_stored(judgement.considered),
            dialog=_described(dialog, dialog_id) if dialog else None,
            again=view.dialog_id != dialog_id,
        )

    async def _show(self, view: AgentView, now: datetime) -> None:
        if self._publish is None or not view.is_watched(now):
            self._shown.pop(view.session, None)
            return
        coloured = await self._capture(view.session, "-ep")
        if coloured is None or self._shown.get(view.session) == coloured:
            return
        self._shown[view.session] = coloured
        plain = without_escapes(coloured).rstrip()
        shown = {"type": "agent_output", "event": "screen", "agent_id": view.id.hex}
        await self._publish(view.id, {**shown, "screen": plain, "coloured": coloured.rstrip()})

    def _put_out(self, session: str) -> None:
        """Plan a look at a session that has put something out."""
        view = self._views.get(session)
        if view is None:
            return
        eager = view.is_watched(now_utc()) or view.delivery is not None
        every_s = EAGER_EVERY_S if eager or not view.started else QUIET_EVERY_S
        self._plan(
            session, max(SETTLE_S, self._looked_at.get(session, 0.0) + every_s - time.monotonic())
        )

    def _read_anew(self) -> None:
        self._stale = True
        self._wake.set()

    def _plan(self, session: str, wait_s: float) -> None:
        at = time.monotonic() + wait_s
        earlier = self._due_at.get(session, float("inf"))
        if at < earlier:
            self._due_at[session] = at
            self._wake.set()


def _usable_tools() -> dict[str, ToolAdapter]:
    try:
        return all_tools()
    except DomainError as broken:
        log.error("%s", broken)
        return {}


def _described(dialog: Dialog, dialog_id: str) -> dict[str, Any]:
    choices = [{"name": each.name, "label": each.label} for each in dialog.choices]
    return {"id": dialog_id, "name": dialog.name, "asks": dialog.asks, "choices": choices}
