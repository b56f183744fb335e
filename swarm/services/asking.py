"""Questions of an agent, on the node that runs it: asked, answered, delivered, seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from p2p.protocol.limits import CHOICES_MAX, TITLE_CHARS_MAX
from swarm import hooks
from swarm.agents.models import DeliveryKind
from swarm.errors import NotFound
from swarm.messages import TaskQuestion, TaskResume
from swarm.models import Attempt
from swarm.plain_text import clean_text
from swarm.services import answering, deliveries
from swarm.services.agents import judge_agent, note_signal
from swarm.services.attempts import get_attempt
from swarm.services.reports import SUMMARY_CHARS_MAX, is_ours, send_report
from swarm.states import ATTEMPT_TERMINAL, AgentStatus

_OPEN = ~Q(status__in=ATTEMPT_TERMINAL)


def ask(attempt_id: UUID, *, question: str, choices: Sequence[str], now: datetime) -> Attempt:
    """Store the agent's question and report it: the task waits for a person.

    DomainError `already_asking` while an answer is awaited, `answer_waits` while one lies ready.
    """
    question = clean_text("question", question, SUMMARY_CHARS_MAX)
    if not question:
        raise DomainError("empty", "question is empty", status=422)
    offered = _checked_choices(choices)
    with transaction.atomic():
        attempt = get_attempt(attempt_id)
        _require_no_question(attempt)
        asked = Attempt.objects.filter(
            _OPEN, id=attempt_id, questions=attempt.questions, said_done_at__isnull=True
        ).update(
            questions=F("questions") + 1,
            question=question,
            choices=offered,
            asked_at=now,
            answer="",
            answered_at=None,
            answer_delivered_at=None,
            answer_seen_at=None,
        )
        if not asked:
            raise DomainError("not_working", f"attempt {attempt.number} has ended, or says so")
        attempt = get_attempt(attempt_id)
        report_question(attempt, now)
        _judge(attempt, AgentStatus.WAITING_INPUT, "task_needs_input", question, now)
    return attempt


def take_answer(
    task_id: UUID,
    *,
    assigner_node_id: str,
    generation: int,
    number: int,
    answer: str,
    now: datetime,
) -> None:
    """Store an answer and have it typed into the agent's terminal; again, it changes nothing."""
    with transaction.atomic():
        matching = Attempt.objects.select_related("agent").filter(
            task_id=task_id, assigner_node_id=assigner_node_id, generation=generation
        )
        attempt = matching.first()
        if attempt is None:
            raise NotFound("run of task", task_id)
        if attempt.questions == number and attempt.answered_at is not None:
            return
        if attempt.status in ATTEMPT_TERMINAL:
            raise DomainError("run_ended", f"the run that asked has ended: {attempt.status}")
        if attempt.questions != number or attempt.asked_at is None:
            raise DomainError(
                "other_question",
                f"question {number} is answered, the run's last one is {attempt.questions}",
            )
        waited_s = max(0.0, (now - attempt.asked_at).total_seconds())
        Attempt.objects.filter(id=attempt.id).update(
            answer=answer, answered_at=now, waited_s=F("waited_s") + waited_s
        )
        attempt.refresh_from_db()
        for carry in hooks.answer_carriers:
            carry(attempt, answer, now)


def note_answer_delivered(attempt_id: UUID, *, now: datetime) -> None:
    """Note that the answer was typed into the agent's terminal, or fetched by the agent."""
    Attempt.objects.filter(
        id=attempt_id, answered_at__isnull=False, answer_delivered_at__isnull=True
    ).update(answer_delivered_at=now)


def note_sign_of_life(attempt_id: UUID, *, now: datetime) -> bool:
    """Take a sign of life: the first after a delivered answer acknowledges it; True for that."""
    with transaction.atomic():
        seen = Attempt.objects.filter(
            _OPEN,
            id=attempt_id,
            answer_delivered_at__isnull=False,
            answer_seen_at__isnull=True,
        ).update(answer_seen_at=now)
        if not seen:
            return False
        attempt = get_attempt(attempt_id)
        report_resumption(attempt, now)
        _judge(attempt, AgentStatus.WORKING, "answer_seen", "goes on after the answer", now)
    return True


def fetch_answer(attempt_id: UUID, *, now: datetime) -> Attempt:
    """Return the attempt with its answer, if there is one: fetching it delivers it.

    DomainError `not_asking` where the agent has asked nothing.
    """
    with transaction.atomic():
        attempt = get_attempt(attempt_id)
        if attempt.asked_at is None:
            raise DomainError(
                "not_asking", "you have asked nothing: call task_needs_input with a question first"
            )
        if attempt.answered_at is not None:
            note_answer_delivered(attempt_id, now=now)
            deliveries.drop_open(
                attempt_id, "the agent fetched it", now=now, kind=DeliveryKind.ANSWER
            )
            note_sign_of_life(attempt_id, now=now)
    return get_attempt(attempt_id)


def _require_no_question(attempt: Attempt) -> None:
    if attempt.asked_at is None or attempt.answer_seen_at is not None:
        return
    if attempt.answered_at is None:
        raise DomainError(
            "already_asking",
            f"question {attempt.questions} is not answered yet: {attempt.question[:200]!r}; "
            "wait for its answer before you ask again",
        )
    raise DomainError(
        "answer_waits",
        f"question {attempt.questions} is answered: call task_answer before you ask again",
    )


def _checked_choices(choices: Sequence[str]) -> list[str]:
    if len(choices) > CHOICES_MAX:
        raise DomainError(
            "too_many_choices", f"{len(choices)} choices, at most {CHOICES_MAX}", status=422
        )
    offered = [clean_text("choice", choice, TITLE_CHARS_MAX) for choice in choices]
    return [" ".join(choice.split()) for choice in offered if choice]


def report_question(attempt: Attempt, now: datetime) -> None:
    """Tell the assigner what the agent asks."""
    if is_ours(attempt):
        answering.apply_question(
            attempt.task_id,
            generation=attempt.generation,
            from_node_id=local_node().node_id,
            number=attempt.questions,
            question=attempt.question,
            choices=attempt.choices,
            now=now,
        )
        return
    send_report(
        TaskQuestion,
        attempt,
        now,
        expires_in_s=None,
        number=attempt.questions,
        question=attempt.question,
        choices=attempt.choices,
    )


def report_resumption(attempt: Attempt, now: datetime) -> None:
    """Tell the assigner that the agent goes on with its answer."""
    if is_ours(attempt):
        answering.apply_resumption(
            attempt.task_id,
            generation=attempt.generation,
            from_node_id=local_node().node_id,
            number=attempt.questions,
            now=now,
        )
        return
    send_report(TaskResume, attempt, now, expires_in_s=None, number=attempt.questions)


def _judge(attempt: Attempt, status: AgentStatus, rule: str, evidence: str, now: datetime) -> None:
    if attempt.agent_id is not None:
        note_signal(attempt.agent_id, source="mcp", state=status, text=evidence, now=now)
        judge_agent(attempt.agent_id, status, source="mcp", rule=rule, evidence=evidence, now=now)
