"""Drives one attempt from its assignment to its report, resuming wherever the node stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings

from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents import steps
from swarm.agents.shell import RunKind, RunState
from swarm.agents.threads import on_thread
from swarm.errors import WrongState
from swarm.mcp.access import McpAccess, config_for
from swarm.models import Attempt
from swarm.services import attempts, claims, reports
from swarm.states import ATTEMPT_TERMINAL, AttemptStatus

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
STATUS_EVERY_S = 1.0
LIFE_SIGN_EVERY_S = 20.0
LIFE_SIGNS_PER_LEASE = 4  # one that is lost or late must not cost the task its lease
DELIVERY_WAIT_S = 10.0
DELIVERIES_MAX = 3
TRIES_MAX = 5
RETRY_FIRST_S = 1.0

R = TypeVar("R")


class Runner:
    """Runs the steps of one attempt; what it has reached is in the attempt's row."""

    def __init__(self, attempt_id: UUID, database: DatabaseThread) -> None:
        self._id = attempt_id
        self._database = database

    async def run(self) -> bool:
        """Bring the attempt to its end and clean up; False while its worktree has to stay."""
        while True:
            attempt = await self._database.run(attempts.get_attempt, self._id)
            if attempt.status in ATTEMPT_TERMINAL:
                return await self._clean_up(attempt)
            try:
                await self._step(attempt)
            except DomainError as refusal:
                await self._fail(attempt, refusal.code, str(refusal))
            except ExternalError as failure:
                await self._fail(attempt, *steps.named_cause("external", str(failure)))
            except Exception as bug:
                log.exception("attempt %s failed by a bug", self._id)
                await self._fail(attempt, "internal", f"internal error: {type(bug).__name__}")

    async def _step(self, attempt: Attempt) -> None:
        if attempt.status == AttemptStatus.QUEUED:
            attempt.status = AttemptStatus.PREPARING  # so that whatever fails now is stopped
            await self._begin(attempt, self._move(AttemptStatus.PREPARING))
        elif attempt.status == AttemptStatus.PREPARING:
            await self._begin(attempt)
        elif attempt.status == AttemptStatus.WORKING:
            await self._watch(attempt)
        else:
            commit = await self._slowly(attempt, "pushing", self._publish)
            output = await on_thread(steps.output, attempt)
            await self._database.run(
                attempts.succeed, self._id, commit=commit, output=output, now=now_utc()
            )

    async def _begin(self, attempt: Attempt, *noted: Awaitable[object]) -> None:
        """Make the worktree and type the run into the terminal, while `noted` is written."""
        set_up = self._slowly(attempt, "preparing", steps.set_up)
        _, access, *_ = await all_ended(set_up, self._access(attempt), *noted)
        await with_retries(lambda: steps.deliver(attempt, access))
        await self._move(AttemptStatus.WORKING, typed_at=now_utc())

    async def _access(self, attempt: Attempt) -> McpAccess | None:
        # Once only: a run that started before the node was killed holds the token already.
        if await on_thread(steps.has_access, attempt):
            return None
        return await self._database.run(config_for, attempt)

    def _publish(self, attempt: Attempt) -> str:
        return steps.publish(attempt)

    async def _slowly(self, attempt: Attempt, doing: str, step: Callable[[Attempt], R]) -> R:
        """Run a step that may take longer than a lease; the assigner hears of us meanwhile."""
        signs = asyncio.create_task(self._give_life_signs(attempt, doing))
        try:
            return await with_retries(lambda: step(attempt))
        finally:
            signs.cancel()
            await asyncio.gather(signs, return_exceptions=True)

    async def _give_life_signs(self, attempt: Attempt, doing: str) -> None:
        while True:
            await asyncio.sleep(life_sign_every_s())
            try:
                await self._database.run(reports.report_progress, attempt, doing, now=now_utc())
            except DomainError as unwanted:
                log.info("attempt %s of %s: %s", attempt.number, attempt.title, unwanted)
                return  # the step's own end will say it where it counts

    async def _watch(self, attempt: Attempt) -> None:
        """Look at the run until it ends, giving signs of life; returns after the move."""
        watch = Watch()
        while True:
            state = await with_retries(lambda: steps.observe(attempt))
            if state.kind is RunKind.EXITED and state.code == 0:
                await self._acknowledge(attempt)
                await self._move(AttemptStatus.PUSHING, exit_code=0)
                return
            if state.kind in (RunKind.EXITED, RunKind.LOST):
                await self._fail_run(attempt, state)
                return
            if state.kind is RunKind.RUNNING:
                await self._acknowledge(attempt)
                await self._give_life_sign(attempt, watch)
            elif watch.delivery_is_late():
                await self._deliver_again(attempt, watch)
            if watch.status_is_due():
                await self._database.run(claims.heed_wishes, self._id)
                if await self._is_over():
                    return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _acknowledge(self, attempt: Attempt) -> None:
        if attempt.acknowledged_at is None:
            attempt.acknowledged_at = now_utc()
            await self._database.run(attempts.acknowledge, attempt, now=now_utc())

    async def _give_life_sign(self, attempt: Attempt, watch: Watch) -> None:
        if watch.life_sign_is_due():
            line = await on_thread(steps.last_line, attempt)
            await self._database.run(reports.report_progress, attempt, line, now=now_utc())

    async def _deliver_again(self, attempt: Attempt, watch: Watch) -> None:
        if watch.deliveries >= DELIVERIES_MAX:
            raise DomainError(
                "not_delivered", f"typed {watch.deliveries} times and never seen to start"
            )
        watch.delivered()
        await on_thread(steps.deliver, attempt)

    async def _fail_run(self, attempt: Attempt, state: RunState) -> None:
        if state.kind is RunKind.LOST:
            await on_thread(steps.stop, attempt)
        code = "lost" if state.kind is RunKind.LOST else "exit_code"
        output = await on_thread(steps.output, attempt)
        code, error = steps.named_cause(code, f"{state.evidence}\n{output}".strip())
        await self._fail(attempt, code, error, exit_code=state.code, output_tail=output)

    async def _fail(self, attempt: Attempt, code: str, error: str, **columns: object) -> None:
        """End the attempt, unless it was cancelled meanwhile.

        A report that nobody wants any more cancels it instead.
        """
        if await self._is_over():
            return
        log.info("attempt %s of %s: %s", attempt.number, attempt.title, error.splitlines()[0])
        await self._end_run(attempt)
        pushed = await self._slowly(attempt, "saving", steps.salvage)
        try:
            await self._database.run(
                attempts.fail,
                self._id,
                code=code,
                error=error,
                pushed=pushed,
                now=now_utc(),
                **columns,
            )
        except DomainError as unwanted:
            with contextlib.suppress(WrongState):  # cancelled in this very moment
                await self._database.run(
                    attempts.cancel, self._id, reason=f"{error}; {unwanted}", now=now_utc()
                )

    async def _end_run(self, attempt: Attempt) -> None:
        """Let nothing of the run go on or begin later: its agent is free for other work."""
        if attempt.status == AttemptStatus.QUEUED:
            return
        try:
            await on_thread(steps.stop, attempt)
        except (DomainError, ExternalError) as failure:
            log.warning("the run of %s was not stopped: %s", attempt.branch, failure)

    async def _is_over(self) -> bool:
        attempt = await self._database.run(attempts.get_attempt, self._id)
        return attempt.status in ATTEMPT_TERMINAL

    async def _move(self, target: AttemptStatus, **columns: object) -> None:
        await self._database.run(attempts.move_attempt, self._id, target, now=now_utc(), **columns)

    async def _clean_up(self, attempt: Attempt) -> bool:
        # A planner's run is over with its plan, whatever its program goes on to do.
        unwanted = attempt.status == AttemptStatus.CANCELLED or attempt.planning
        if unwanted and attempt.agent is not None:
            await self._end_run(attempt)
            await on_thread(steps.salvage, attempt)
        elif attempt.agent is None:
            await on_thread(steps.salvage, attempt)  # removed while it worked
        try:
            refs = await with_retries(lambda: steps.clean_up(attempt))
        except (DomainError, ExternalError) as kept:
            log.warning("worktree of %s is kept: %s", attempt.branch, kept)
            return False
        if refs:
            log.info("rescued of %s: %s", attempt.branch, ", ".join(refs))
        await self._database.run(attempts.note_worktree_removed, self._id, now=now_utc())
        return True


def life_sign_every_s() -> float:
    """Return the seconds between two signs of life: several fit into a lease."""
    return min(LIFE_SIGN_EVERY_S, settings.ENVIRONMENT.lease_s / LIFE_SIGNS_PER_LEASE)


class Watch:
    """What is due while a run is watched; all times are monotonic seconds."""

    def __init__(self) -> None:
        """Begin with the first delivery, made just now."""
        self.deliveries = 1
        self._delivered_at = time.monotonic()
        self._life_sign_at = time.monotonic()
        self._status_at = time.monotonic()

    def delivered(self) -> None:
        """Count another delivery."""
        self.deliveries += 1
        self._delivered_at = time.monotonic()

    def delivery_is_late(self) -> bool:
        """Tell whether the last delivery should have been seen to start by now."""
        return time.monotonic() - self._delivered_at > DELIVERY_WAIT_S

    def life_sign_is_due(self) -> bool:
        """Tell, once per interval, that the assigner should hear of the run."""
        due = time.monotonic() - self._life_sign_at > life_sign_every_s()
        if due:
            self._life_sign_at = time.monotonic()
        return due

    def status_is_due(self) -> bool:
        """Tell, once per interval, that the attempt's row should be looked at."""
        due = time.monotonic() - self._status_at > STATUS_EVERY_S
        if due:
            self._status_at = time.monotonic()
        return due


async def all_ended(*doing: Awaitable[Any]) -> list[Any]:
    """Wait for all of them, then return what they return or raise the first failure.

    What follows a failure must find nothing of them still at work.
    """
    outcomes = await asyncio.gather(*doing, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes


async def with_retries(step: Callable[[], R]) -> R:
    """Run a blocking step on a thread, again with back-off while a tool may recover."""
    for number in range(1, TRIES_MAX + 1):
        try:
            return await on_thread(step)
        except ExternalError as failure:
            if not failure.retryable or number == TRIES_MAX:
                raise
            log.info("trying again: %s", failure)
            await asyncio.sleep(RETRY_FIRST_S * 2 ** (number - 1))
    raise AssertionError("unreachable")
