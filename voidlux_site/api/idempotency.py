"""POST with an Idempotency-Key: done once, answered as often as it is asked."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from ninja.responses import Status

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from voidlux_site.models import StoredAnswer

HEADER = "Idempotency-Key"
KEY_CHARS_MAX = 200
KEPT_S = 24 * 3600

View = Callable[..., Any]


def idempotent(view: View) -> View:
    """Wrap an operation: its effect and its answer are committed together, refusals are not kept.

    Raises DomainError `idempotency_key_reused` (422) for a key that came with another request.
    """

    @functools.wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        key = request.headers.get(HEADER, "")
        if request.method != "POST" or not key:
            return view(request, *args, **kwargs)
        _check(key)
        # One transaction: a second request with the key waits for the first, then finds its row.
        with transaction.atomic():
            return _once(key, request, now_utc(), lambda: view(request, *args, **kwargs))

    return wrapper


def _once(key: str, request: HttpRequest, now: datetime, run: Callable[[], Any]) -> Any:
    operation = f"{request.method} {request.path}"[:300]
    digest = hashlib.sha256(request.body).hexdigest()
    StoredAnswer.objects.filter(created_at__lt=now - timedelta(seconds=KEPT_S)).delete()
    stored = StoredAnswer.objects.filter(key=key).first()
    if stored is not None:
        _check_same(stored, operation, digest)
        return Status(stored.status, stored.body)
    result = run()
    status, body = (
        (result.status_code, result.value) if isinstance(result, Status) else (200, result)
    )
    StoredAnswer.objects.create(
        key=key, operation=operation, body_sha256=digest, status=status, body=body, created_at=now
    )
    return result


def _check(key: str) -> None:
    if len(key) > KEY_CHARS_MAX:
        raise DomainError(
            "bad_idempotency_key",
            f"{HEADER} has {len(key)} characters, at most {KEY_CHARS_MAX}",
            status=422,
        )
    if not key.isprintable():
        raise DomainError(
            "bad_idempotency_key", f"{HEADER} {key!r} holds characters that cannot be seen", 422
        )


def _check_same(stored: StoredAnswer, operation: str, digest: str) -> None:
    if (stored.operation, stored.body_sha256) != (operation, digest):
        raise DomainError(
            "idempotency_key_reused",
            f"{HEADER} {stored.key!r} was used for another request ({stored.operation})",
            status=422,
        )
