"""The operator: the one user that every member of a swarm has, and the backend that finds it."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

OPERATOR = "operator"
BACKEND = "voidlux_site.operator.OperatorBackend"
# Django binds sessions to the stored password: it must be the same at all members.
_PASSWORD = f"{UNUSABLE_PASSWORD_PREFIX}the operator logs in by a link"


class OperatorBackend(BaseBackend):
    """Finds the operator of a session that any member of the swarm has signed."""

    def get_user(self, user_id: Any) -> User | None:
        """Return this node's operator, None where it was deactivated.

        The id is that of another database, where the same number may be somebody else.
        """
        user = operator()
        return user if user.is_active else None


def operator() -> User:
    """Return this node's operator, made when it is missing; it never has a password."""
    user, created = User.objects.get_or_create(
        username=OPERATOR,
        defaults={"is_staff": True, "is_superuser": True, "password": _PASSWORD},
    )
    if not created and user.password != _PASSWORD:
        if user.has_usable_password():
            logger.warning("the operator's password is removed: it logs in by links alone")
        user.password = _PASSWORD
        user.save(update_fields=["password"])
    return user
