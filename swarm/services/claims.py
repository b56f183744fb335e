"""What an agent says of its own run: done, or failed. A claim; the runner and the gate prove it."""

from __future__ import annotations

import re
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from p2p.doorbell import ring_on_commit
from p2p.protocol.errors import DomainError
from swarm.models import Attempt
from swarm.plain_text import clean_text
from swarm.services.attempts import get_attempt
from swarm.services.reports import SUMMARY_CHARS_MAX
from swarm.states import ATTEMPT_TERMINAL

GAVE_UP = "gave_up"
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def claim_done(attempt_id: UUID, *, summary: str, commit: str, now: datetime) -> Attempt:
    """Note that the agent says it is done; the runner then verifies, commits and pushes.

    Said twice with the same commit changes nothing; DomainError `already_said` otherwise.
    """
    commit = _checked(commit.strip().lower())
    summary = clean_text("summary", summary, SUMMARY_CHARS_MAX)
    if not summary:
        raise DomainError("empty", "summary is empty: say in a sentence what was done", status=422)
    with transaction.atomic():
        said = _speaking(attempt_id).update(said_done_at=now, said_commit=commit, summary=summary)
        attempt = get_attempt(attempt_id)
        if not said and not (attempt.said_done_at and attempt.said_commit == commit):
            raise _already_said(attempt)
        ring_on_commit()
    return attempt


def claim_failed(attempt_id: UUID, *, reason: str, now: datetime) -> Attempt:
    """Note that the agent gives up; the runner saves its work and reports the failure."""
    reason = clean_text("reason", reason, SUMMARY_CHARS_MAX)
    if not reason:
        raise DomainError("empty", "reason is empty: say what stops the work", status=422)
    with transaction.atomic():
        if not _speaking(attempt_id).update(said_failed=reason):
            raise _already_said(get_attempt(attempt_id))
        ring_on_commit()
    return get_attempt(attempt_id)


def heed_wishes(attempt_id: UUID) -> None:
    """Raise the DomainError by which a run ends that its agent, or its budget, wants ended."""
    attempt = get_attempt(attempt_id)
    if attempt.status in ATTEMPT_TERMINAL:
        return
    if attempt.stop_code:
        raise DomainError(attempt.stop_code, attempt.stop_reason)
    if attempt.said_failed:
        raise DomainError(GAVE_UP, f"the agent gave up: {attempt.said_failed}")


def _speaking(attempt_id: UUID) -> QuerySet[Attempt]:
    """The attempt, while it is open and its agent has not said how it ended."""
    silent = Attempt.objects.filter(id=attempt_id, said_done_at__isnull=True, said_failed="")
    return silent.exclude(status__in=ATTEMPT_TERMINAL)


def _already_said(attempt: Attempt) -> DomainError:
    if attempt.status in ATTEMPT_TERMINAL:
        what = f"attempt {attempt.number} is over: {attempt.status}"
    elif attempt.said_failed:
        what = "you said already that it failed"
    else:
        commit = f" with commit {attempt.said_commit}" if attempt.said_commit else ""
        what = f"you said already that it is done{commit}"
    return DomainError("already_said", f"{what}; nothing was changed. Stop working on it.")


def _checked(commit: str) -> str:
    if commit and not _COMMIT.fullmatch(commit):
        raise DomainError(
            "bad_commit",
            f"commit {commit[:80]!r} is no commit id of 7 to 64 hexadecimal digits; "
            "leave it out, and everything in the worktree is committed for you",
            status=422,
        )
    return commit
