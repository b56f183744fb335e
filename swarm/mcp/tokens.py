"""Bearer tokens of agents: random, one for each agent and attempt, kept as a hash only."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from p2p.protocol.errors import DomainError
from swarm.models import Attempt, McpToken
from swarm.states import ATTEMPT_TERMINAL

TOKEN_BYTES = 32
TOKEN_PREFIX = "vlx_"  # so that scanners of leaked secrets can know one


def issue_token(attempt: Attempt, *, now: datetime) -> str:
    """Return a new token of an open attempt's agent; one that was issued before ends with it.

    DomainError `agent_gone` where the attempt has no agent and `attempt_ended` where it is over.
    """
    if attempt.agent is None:
        raise DomainError("agent_gone", f"the agent of attempt {attempt.id} was removed")
    if attempt.status in ATTEMPT_TERMINAL:
        raise DomainError("attempt_ended", f"attempt {attempt.id} is {attempt.status}")
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    McpToken.objects.update_or_create(
        attempt=attempt,
        defaults={
            "agent": attempt.agent,
            "token_sha256": _hash_of(token),
            "issued_at": now,
            "used_at": None,
        },
    )
    return token


def bearer_of(token: str) -> McpToken | None:
    """Return whose token this is, with agent and attempt; None where it was never issued.

    The token of an ended attempt is known: its agent is told so instead of being shut out.
    """
    known = McpToken.objects.select_related("agent", "attempt")
    return known.filter(token_sha256=_hash_of(token)).first()


def _hash_of(token: str) -> str:
    # Random 256 bits need no salt and no slow hash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
