"""Asks a language model one question: checked, repaired, counted, and over in time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from pydantic import BaseModel

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError, VoidLuxError
from swarm.llm import accounting
from swarm.llm.answers import Unusable, read_answer
from swarm.llm.models import LlmCall, LlmOutcome, LlmPurpose
from swarm.llm.providers import Endpoint, endpoint_for
from swarm.llm.redaction import without_own_secrets
from swarm.models import Task

if TYPE_CHECKING:
    from swarm.llm.failures import Failure
    from swarm.llm.requesting import Prompt, Received, Turn

log = logging.getLogger(__name__)

T = TypeVar("T", bound=BaseModel)

PROGRESS_EVERY_S = 1.0
SILENCE_SHARE = 4  # an answer that began may pause for a quarter of the time limit
_REPAIR = "That answer cannot be used:\n{complaint}\nGive the whole answer again, put right."
_SHORTER = (
    "Your answer was longer than the {tokens} tokens that it may have, and was cut off."
    " Give the whole answer again, much shorter."
)


def _nothing_more(answer: object) -> None:
    """Accept whatever has the right shape."""


@dataclass(frozen=True, kw_only=True)
class Question(Generic[T]):
    """What a model is asked, and what an answer must be like.

    `check` raises ValueError or DomainError with words for the model, which may then try again.
    `on_progress` is told how many characters have come, at most once per second, on the thread of
    whoever asks; an error of ours that it raises ends the question.
    """

    purpose: LlmPurpose
    system: str
    prompt: str
    answer: type[T]
    check: Callable[[T], None] = _nothing_more
    complexity: str = "medium"
    on_progress: Callable[[int], None] | None = None


def ask(question: Question[T], *, task: Task | None) -> T:
    """Return a model's answer; waits for it, so only a worker's job may call this.

    ExternalError where another time may help: provider down, too many requests, time over.
    DomainError `llm_not_configured`, `llm_invalid` (no valid answer within VOIDLUX_LLM_TRIES),
    `llm_refused` (by the model or by the provider, such as for a wrong key) or `llm_over_budget`.
    """
    endpoint = endpoint_for(question.purpose, question.complexity)
    _load_client()  # seconds, the first time, which are not the model's
    call = accounting.begin(question.purpose, endpoint, task, now=now_utc())
    asking = _Asking(question, endpoint, call)
    try:
        answer = asking.answer()
    except _Ended as ended:
        _close(call, ended.failure.outcome, str(ended.failure.error))
        raise ended.failure.error from None
    except DomainError as error:
        over = error.code == "llm_over_budget"
        _close(call, LlmOutcome.OVER_BUDGET if over else LlmOutcome.FAILED, str(error))
        raise
    except BaseException as error:
        _close(call, LlmOutcome.FAILED, type(error).__name__)
        raise
    _close(call, LlmOutcome.ANSWERED, "")
    return answer


def _load_client() -> None:
    from swarm.llm import failures, requesting  # noqa: F401


class _Ended(Exception):
    """A question that ended without an answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure


class _Asking(Generic[T]):
    """One question under way: its tries, and the time that is left."""

    def __init__(self, question: Question[T], endpoint: Endpoint, call: LlmCall) -> None:
        self._question = question
        self._endpoint = endpoint
        self._call = call
        self._limit_s = float(settings.ENVIRONMENT.llm_time_limit_s)
        self._ends_at = time.monotonic() + self._limit_s
        self._told_at = 0.0

    def answer(self) -> T:
        """Ask until an answer is valid, or the tries are used up."""
        from swarm.llm import failures

        tries: int = settings.ENVIRONMENT.llm_tries
        turn: Turn | None = None
        was_cut, complaint = False, ""
        for _ in range(tries):
            accounting.require_budget(self._call, now=now_utc())
            received = self._received(turn)
            cut = received.finish == "length"
            if cut and was_cut:
                complaint = "its answer was cut off twice, see VOIDLUX_LLM_OUTPUT_TOKENS"
                break
            try:
                return self._read(received)
            except Unusable as unusable:
                complaint, was_cut = str(unusable), cut
                turn = _repair(received, complaint)
        raise _Ended(failures.invalid(self._endpoint, self._call.requests, complaint))

    def _read(self, received: Received) -> T:
        if received.finish == "length":
            raise Unusable("its answer was cut off, see VOIDLUX_LLM_OUTPUT_TOKENS")
        return read_answer(received.text, self._question.answer, self._question.check)

    def _received(self, turn: Turn | None) -> Received:
        """Ask once; what was used is counted however that ends."""
        from swarm.llm import failures
        from swarm.llm.requesting import Received

        received = Received()
        try:
            async_to_sync(self._request)(turn, received)
        except VoidLuxError:
            raise  # by whoever is told of the progress
        except TimeoutError:
            raise _Ended(self._timed_out(received)) from None
        except Exception as error:
            raise _Ended(failures.failure_of(error, self._endpoint)) from None
        finally:
            self._count(received)
        if received.finish == "content_filter":
            raise _Ended(failures.refused(self._endpoint))
        if not received.finish:
            raise _Ended(failures.broken_off(self._endpoint))
        return received

    async def _request(self, turn: Turn | None, received: Received) -> None:
        from swarm.llm import requesting

        left_s = max(0.0, self._ends_at - time.monotonic())
        async with (
            asyncio.timeout(left_s),
            requesting.open_model(self._endpoint) as model,
        ):
            await requesting.request(model, self._prompt(), turn, received, self._progress)

    def _prompt(self) -> Prompt:
        from swarm.llm.requesting import Prompt

        return Prompt(
            system=without_own_secrets(self._question.system),
            text=without_own_secrets(self._question.prompt),
            schema=self._question.answer.model_json_schema(),
            output_tokens=settings.ENVIRONMENT.llm_output_tokens,
            silence_s=self._limit_s / SILENCE_SHARE,
        )

    async def _progress(self, chars: int) -> None:
        now = time.monotonic()
        if self._question.on_progress is None or now - self._told_at < PROGRESS_EVERY_S:
            return
        self._told_at = now
        await sync_to_async(self._question.on_progress)(chars)

    def _timed_out(self, received: Received) -> Failure:
        from swarm.llm.failures import timed_out

        if time.monotonic() >= self._ends_at:
            return timed_out(self._endpoint, f"gave no answer within {self._limit_s:g} s")
        silence = f"{self._limit_s / SILENCE_SHARE:g} s"
        return timed_out(self._endpoint, f"said nothing more for {silence} within its answer")

    def _count(self, received: Received) -> None:
        accounting.note_request(
            self._call,
            tokens_in=received.tokens_in,
            tokens_out=received.tokens_out,
            cost_usd=received.cost_usd,
        )


def _repair(received: Received, complaint: str) -> Turn:
    """Return what the model is told of an answer that cannot be used; one cut off is not shown."""
    from swarm.llm.requesting import Turn

    if received.finish == "length":
        tokens = settings.ENVIRONMENT.llm_output_tokens
        return Turn("", _SHORTER.format(tokens=tokens))
    return Turn(received.text, _REPAIR.format(complaint=complaint))


def _close(call: LlmCall, outcome: LlmOutcome, error: str) -> None:
    now = now_utc()
    accounting.close(call, outcome, error, now=now)
    log.info(
        "%s by %s: %s after %d requests, %d tokens in, %d out, %.1f s%s",
        call.purpose,
        call.model,
        outcome,
        call.requests,
        call.tokens_in,
        call.tokens_out,
        (now - call.started_at).total_seconds(),
        f": {call.error}" if call.error else "",
    )
