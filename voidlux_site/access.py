"""Who may use this node: the API's bearer token and one-time login links."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.core.signing import BadSignature, Signer
from django.db import transaction

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.models import NodeState
from voidlux_site.home import keep_secrets, own_api_token
from voidlux_site.operator import operator

NONCE_BYTES = 18
LOGIN_LINK_TTL_S = 600
_LINK_PREFIX = "login:"


def api_token() -> str:
    """Return the API's bearer token, made at the first call (mode 0600)."""
    return own_api_token(local_node().home, settings.ENVIRONMENT)


def is_api_token(candidate: str) -> bool:
    """Tell in constant time whether `candidate` is the API's bearer token."""
    return secrets.compare_digest(candidate.encode(), api_token().encode())


def keep_own_secrets() -> None:
    """Bring the node's secret files in line with the swarm's secret, at the start."""
    keep_secrets(local_node().home, settings.ENVIRONMENT)


def bearer_of(authorization: str) -> str:
    """Return the token of an `Authorization: Bearer ...` header, empty when it has none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def new_login_path(now: datetime | None = None) -> str:
    """Return the path of a new login link, good within LOGIN_LINK_TTL_S seconds.

    It works once at each member of the swarm, which know nothing of each other's visitors.
    """
    expires_at = int((now or now_utc()).timestamp()) + LOGIN_LINK_TTL_S
    return f"/login/{_signer().sign(f'{secrets.token_urlsafe(NONCE_BYTES)}.{expires_at}')}"


def use_login_token(token: str, now: datetime) -> User | None:
    """Return the operator for a good token, which is used up by this; None for any other."""
    expires_at = _expiry_of(token)
    if expires_at <= now.timestamp():
        return None
    with transaction.atomic():
        _forget_expired(now)
        # Until when it would be good is as long as it must be remembered.
        kept_until = now + timedelta(seconds=expires_at - now.timestamp())
        _, is_first = NodeState.objects.get_or_create(
            key=_key_of(token), defaults={"value": kept_until.isoformat()}
        )
        return operator() if is_first else None


def _signer() -> Signer:
    return Signer(salt="voidlux.login-link", sep=".")


def _expiry_of(token: str) -> int:
    """Return until when (unix seconds) a link is good, 0 for one that nobody here signed."""
    try:
        return int(_signer().unsign(token).rpartition(".")[2])
    except BadSignature:
        return 0


def _key_of(token: str) -> str:
    # Only the hash is kept: who reads the database learns no link.
    return _LINK_PREFIX + hashlib.sha256(token.encode()).hexdigest()[:56]


def _forget_expired(now: datetime) -> None:
    links = NodeState.objects.filter(key__startswith=_LINK_PREFIX)
    over = [key for key, value in links.values_list("key", "value") if _is_over(value, now)]
    NodeState.objects.filter(key__in=over).delete()


def _is_over(value: str, now: datetime) -> bool:
    return datetime.fromisoformat(value) <= now
