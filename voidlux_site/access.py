"""Who may use this node: the API's bearer token and one-time login links."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from django.contrib.auth.models import User
from django.db import transaction

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.models import NodeState
from voidlux_site.home import write_once

API_TOKEN_FILE = "api-token"
TOKEN_BYTES = 32
LOGIN_LINK_TTL_S = 600
OPERATOR = "operator"
_LINK_PREFIX = "login:"


def api_token() -> str:
    """Return the API's bearer token, made at the first call (mode 0600)."""
    return _token_of(local_node().home)


def is_api_token(candidate: str) -> bool:
    """Tell in constant time whether `candidate` is the API's bearer token."""
    return secrets.compare_digest(candidate.encode(), api_token().encode())


def bearer_of(authorization: str) -> str:
    """Return the token of an `Authorization: Bearer ...` header, empty when it has none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def new_login_path(now: datetime | None = None) -> str:
    """Return the path of a new login link, good for one use within LOGIN_LINK_TTL_S seconds."""
    moment = now or now_utc()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    expires_at = moment + timedelta(seconds=LOGIN_LINK_TTL_S)
    with transaction.atomic():
        _forget_expired(moment)
        NodeState.objects.create(key=_key_of(token), value=expires_at.isoformat())
    return f"/login/{token}"


def use_login_token(token: str, now: datetime) -> User | None:
    """Return the operator for a good token, which is used up by this; None for any other."""
    with transaction.atomic():
        row = NodeState.objects.filter(key=_key_of(token)).first()
        if row is None or not NodeState.objects.filter(key=row.key).delete()[0]:
            return None
        if datetime.fromisoformat(row.value) <= now:
            return None
        return _operator()


def _operator() -> User:
    user, created = User.objects.get_or_create(
        username=OPERATOR, defaults={"is_staff": True, "is_superuser": True}
    )
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def _key_of(token: str) -> str:
    # Only the hash is kept: who reads the database cannot log in with it.
    return _LINK_PREFIX + hashlib.sha256(token.encode()).hexdigest()[:56]


def _forget_expired(now: datetime) -> None:
    links = NodeState.objects.filter(key__startswith=_LINK_PREFIX)
    over = [key for key, value in links.values_list("key", "value") if _is_over(value, now)]
    NodeState.objects.filter(key__in=over).delete()


def _is_over(value: str, now: datetime) -> bool:
    return datetime.fromisoformat(value) <= now


@lru_cache(maxsize=8)
def _token_of(home: Path) -> str:
    path = home / API_TOKEN_FILE
    if not path.exists():
        write_once(path, secrets.token_urlsafe(TOKEN_BYTES))
    return path.read_text("ascii").strip()
