"""Drives an attempt of a tool that takes prompts: started, told, watched; done when it says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from uuid import UUID

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents import prompt_run, steps
from swarm.agents.models import Delivery, DeliveryKind
from swarm.agents.prompts import prompt_of
from swarm.agents.runner import Runner, Watch, all_ended, with_retries
from swarm.agents.threads import on_thread
from swarm.mcp.access import config_for
from swarm.models import Agent, Attempt
from swarm.services import agents, claims, deliveries, reports
from swarm.states import ATTEMPT_TERMINAL, AgentStatus, AttemptStatus, DeliveryStatus

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class PromptRunner(Runner):
    """Ends a run by the agent's claim, by the end of its process, or by the operator.

    Never by silence: a tool that says nothing keeps its task as long as its process lives.
    """

    async def _begin(self, attempt: Attempt, *noted: Awaitable[object]) -> None:
        made = self._slowly(
            attempt, "preparing", lambda each: steps.make_worktree(each, with_conflict=True)
        )
        await all_ended(made, *noted)
        access = await self._database.run(config_for, attempt)
        await with_retries(lambda: prompt_run.start(attempt, access))
        await self._database.run(_queue_prompt, attempt)
        await self._move(AttemptStatus.WORKING)

    def _publish(self, attempt: Attempt) -> str:
        return prompt_run.publish_claimed(attempt)

    async def _watch(self, attempt: Attempt) -> None:
        watch = Watch()
        while True:
            current, prompt = await self._database.run(_look, self._id)
            if current.status in ATTEMPT_TERMINAL:
                return
            if prompt is not None and prompt.status == DeliveryStatus.ACKNOWLEDGED:
                await self._acknowledge(current)
                await self._database.run(agents.note_sound, prompt.agent_id)
            if current.said_done_at is not None:
                await self._acknowledge(current)
                await self._move(AttemptStatus.PUSHING)
                return
            await self._database.run(claims.heed_wishes, self._id)
            if await self._has_ended(current, prompt):
                return
            await self._give_life_sign(current, watch)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _has_ended(self, attempt: Attempt, prompt: Delivery | None) -> bool:
        """Fail the attempt where its process has ended without a claim, with the evidence."""
        agent = prompt_run.agent_of(attempt)
        if agent.status != AgentStatus.EXITED:
            return False
        end = await on_thread(prompt_run.end_of, attempt)
        if end is None:
            return False
        code, status, tail = end
        latest, _ = await self._database.run(_look, self._id)
        if latest.said_done_at is not None:
            return False  # it claimed and exited between two looks: the next look takes the claim
        how = "its session is gone" if status is None else f"it ended with {status}"
        error = f"{agent.tool} ended without a claim: {how}\n{tail}"
        began = prompt is not None and prompt.status == DeliveryStatus.ACKNOWLEDGED
        await on_thread(prompt_run.keep_output, attempt, tail)
        await self._fail(attempt, code, error, exit_code=status, output_tail=tail[-4000:])
        if not began and status is not None:
            await self._database.run(agents.note_crash, agent.id, how, now=now_utc())
        return True

    async def _give_life_sign(self, attempt: Attempt, watch: Watch) -> None:
        if watch.life_sign_is_due():
            agent: Agent = prompt_run.agent_of(attempt)
            line = f"{agent.status}: {agent.evidence}"
            await self._database.run(reports.report_progress, attempt, line, now=now_utc())

    async def _end_run(self, attempt: Attempt) -> None:
        await self._database.run(deliveries.drop_open, attempt.id, "the run is over", now=now_utc())
        if attempt.status == AttemptStatus.QUEUED:
            return
        try:
            await on_thread(prompt_run.stop, attempt)
        except (DomainError, ExternalError) as failure:
            log.warning("the run of %s was not stopped: %s", attempt.branch, failure)


def _queue_prompt(attempt: Attempt) -> None:
    now = now_utc()
    deliveries.queue_delivery(
        prompt_run.agent_of(attempt), DeliveryKind.PROMPT, prompt_of(attempt), now, attempt=attempt
    )
    deliveries.start_over(attempt.id, now=now)


def _look(attempt_id: UUID) -> tuple[Attempt, Delivery | None]:
    attempt = Attempt.objects.select_related("agent").get(id=attempt_id)
    prompt = Delivery.objects.filter(attempt=attempt, kind=DeliveryKind.PROMPT).first()
    return attempt, prompt
