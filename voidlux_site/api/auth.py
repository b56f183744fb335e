"""Who may call the API: the bearer of the node's token, or a staff session with CSRF."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer

from voidlux_site.access import is_api_token


class ApiToken(HttpBearer):
    """`Authorization: Bearer <token of VOIDLUX_HOME/api-token>`."""

    def authenticate(self, request: HttpRequest, token: str) -> str | None:
        """Return a name for the caller when the token is right."""
        return "api-token" if is_api_token(token) else None


class StaffSession(APIKeyCookie):
    """The dashboard's session; a request that changes something needs the CSRF token."""

    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> Any:
        """Return the user; without a session there is nothing that CSRF could abuse."""
        if not request.COOKIES.get(self.param_name):
            return None
        return super().__call__(request)

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        """Return the user when it is staff."""
        user = request.user
        return user if user.is_active and getattr(user, "is_staff", False) else None
