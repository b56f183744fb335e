"""Carries out what the rules of typing say, one text per agent at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents.adapters import ToolAdapter
from swarm.agents.delivery import submit, type_text
from swarm.agents.judging import Judgement
from swarm.agents.texts import shows
from swarm.agents.threads import on_thread
from swarm.agents.tmux import TmuxServer
from swarm.agents.typing_rules import AgentSeen, Pending, Step, StepKind, next_step
from swarm.agents.views import AgentView, OpenDelivery
from swarm.services import deliveries

log = logging.getLogger(__name__)


class Deliverer:
    """Types on threads of its own, so that a slow paste into one terminal holds up no other."""

    def __init__(
        self, tmux: TmuxServer, database: DatabaseThread, on_typed: Callable[[], None]
    ) -> None:
        """Take where to type; `on_typed` is called when rows have to be read anew."""
        self._tmux = tmux
        self._database = database
        self._on_typed = on_typed
        self._typing: dict[str, asyncio.Task[None]] = {}
        self._typed: set[str] = set()

    async def tend(
        self,
        view: AgentView,
        tool: ToolAdapter,
        judgement: Judgement,
        screen: str,
        now: datetime,
    ) -> None:
        """Do the next step of the agent's oldest open delivery, if any."""
        delivery = view.delivery
        if delivery is None or view.session in self._typing or view.session in self._typed:
            return
        step = next_step(_pending(delivery), _seen(tool, judgement, screen, delivery), now)
        if step.kind in (StepKind.TYPE, StepKind.SUBMIT):
            if not delivery.stalled:
                self._start(view, tool, delivery, step)
        else:
            await self._note(delivery, step, now)

    def typed(self) -> set[str]:
        """Return the sessions typed into since their rows were read: what is known is too old."""
        return set(self._typed)

    def release(self, sessions: set[str]) -> None:
        """Go on with sessions whose rows were read after they were typed into."""
        self._typed -= sessions

    def stop(self) -> None:
        """End what is being typed; it is queued still, and typed anew at the next start."""
        for task in self._typing.values():
            task.cancel()

    async def _note(self, delivery: OpenDelivery, step: Step, now: datetime) -> None:
        run = self._database.run
        if step.kind is StepKind.ACKNOWLEDGE:
            await run(deliveries.note_acknowledged, delivery.id, step.why, now=now)
        elif step.kind is StepKind.FAIL:
            await run(deliveries.fail_delivery, delivery.id, step.why, now=now)
        elif step.kind is StepKind.STALL and not delivery.stalled:
            await run(
                deliveries.note_waiting,
                delivery.id,
                f"{step.why}; {delivery.reason}",
                stalled=True,
                now=now,
            )
        elif step.kind is StepKind.WAIT and not delivery.stalled and delivery.reason != step.why:
            await run(deliveries.note_waiting, delivery.id, step.why, stalled=False, now=now)

    def _start(
        self, view: AgentView, tool: ToolAdapter, delivery: OpenDelivery, step: Step
    ) -> None:
        work = self._type(view.session, tool, delivery, step)
        task = asyncio.create_task(work, name=f"typing to {view.name}")
        self._typing[view.session] = task
        task.add_done_callback(lambda done: self._done(view.session, done))

    def _done(self, session: str, task: asyncio.Task[None]) -> None:
        self._typing.pop(session, None)
        self._typed.add(session)
        if not task.cancelled() and (error := task.exception()):
            log.error("typing to session %s failed", session, exc_info=error)
        self._on_typed()

    async def _type(
        self, session: str, tool: ToolAdapter, delivery: OpenDelivery, step: Step
    ) -> None:
        typed_at = now_utc()
        try:
            if step.kind is StepKind.SUBMIT:
                await on_thread(submit, self._tmux, session, tool)
                refusal = None
            else:
                again = delivery.tries > 0
                refusal = await on_thread(
                    type_text, self._tmux, session, tool, delivery.text, again=again
                )
        except (DomainError, ExternalError) as failure:
            refusal = str(failure)
        why = refusal or "seen in the input box and sent off"
        await self._database.run(
            deliveries.note_try, delivery.id, typed=refusal is None, reason=why, now=typed_at
        )


def _pending(delivery: OpenDelivery) -> Pending:
    return Pending(status=delivery.status, tries=delivery.tries, typed_at=delivery.typed_at)


def _seen(
    tool: ToolAdapter, judgement: Judgement, screen: str, delivery: OpenDelivery
) -> AgentSeen:
    shown = delivery.typed_at is not None and shows(screen, delivery.text, tool.typing.shown_as)
    return AgentSeen(
        state=judgement.state,
        source=judgement.source,
        evidence=judgement.evidence,
        since=judgement.since,
        text_shown=shown,
        exhausted=any(rule.name == judgement.rule for rule in tool.usage_window),
    )
