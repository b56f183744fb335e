"""What the monitor does about an exhausted usage window: notes it once, answers its dialog."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from p2p.database_thread import DatabaseThread
from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents import dialogs
from swarm.agents.adapters import ToolAdapter
from swarm.agents.looking import Memory, waits_for_window
from swarm.agents.threads import on_thread
from swarm.agents.views import AgentView, NotedWindow
from swarm.agents.windows import local_zone, window_end
from swarm.budgets.windows import forget_window, note_window
from swarm.states import AgentStatus

log = logging.getLogger(__name__)


class WindowWatch:
    """Answers dialogs on threads of its own, since an answer waits until its dialog has closed."""

    def __init__(self, database: DatabaseThread) -> None:
        """Take where windows are noted."""
        self._database = database
        self._answering: dict[UUID, asyncio.Task[None]] = {}

    async def heed(
        self, view: AgentView, tool: ToolAdapter, memory: Memory, now: datetime
    ) -> AgentView:
        """Note the window that the screen shows, if it is news; return the view with it."""
        seen, attempt_id = memory.window, view.attempt_id
        if seen is None or attempt_id is None:
            return view
        if memory.said_again and view.window is not None and view.window.until is None:
            await self._database.run(forget_window, attempt_id, now=now)
            view = replace(view, window=None)
        memory.said_again = False
        if not waits_for_window(view, memory):
            return view
        self._answer(view, tool, memory)
        if view.window is not None and view.window.key == seen.key:
            return view
        until = window_end(seen.said, now, local_zone())
        until = until or now + timedelta(seconds=seen.rule.fallback_s)
        await self._database.run(
            note_window,
            attempt_id,
            rule=seen.rule.name,
            key=seen.key,
            shown=seen.shown,
            until=until,
            now=now,
        )
        return replace(view, window=NotedWindow(key=seen.key, until=until))

    async def forget(
        self, view: AgentView, memory: Memory, state: AgentStatus, now: datetime
    ) -> None:
        """Forget the window of a tool that works again, when its words are gone.

        While they can be read still, they would be taken for news.
        """
        if view.window is None or view.attempt_id is None:
            return
        if state == AgentStatus.WORKING and memory.words_are_gone:
            await self._database.run(forget_window, view.attempt_id, now=now)

    def stop(self) -> None:
        """End the answers that are on their way."""
        for task in self._answering.values():
            task.cancel()

    def _answer(self, view: AgentView, tool: ToolAdapter, memory: Memory) -> None:
        """Answer the dialog that came with the window, where its rule says how."""
        dialog = memory.dialog
        choice = memory.window.rule.answers.get(dialog.name) if memory.window and dialog else None
        if dialog is None or choice is None or view.id in self._answering:
            return
        work = _press(view.session, tool, dialog.name, choice, memory.dialog_id)
        task = asyncio.create_task(work, name=f"answering a dialog of {view.name}")
        self._answering[view.id] = task
        task.add_done_callback(lambda _: self._answering.pop(view.id, None))


async def _press(session: str, tool: ToolAdapter, dialog: str, choice: str, dialog_id: str) -> None:
    try:
        await on_thread(dialogs.press, session, tool, dialog, choice, dialog_id=dialog_id)
    except (DomainError, ExternalError) as failure:
        log.info("the dialog %s of session %s was not answered: %s", dialog, session, failure)
