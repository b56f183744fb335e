"""What a browser may load on this site's pages: only what the site itself serves."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# The admin and the API's documentation set styles on elements; their scripts stay external.
POLICY_WITH_STYLES = f"{POLICY}; style-src 'self' 'unsafe-inline'"
_STYLED_PREFIXES = ("/admin/", "/api/docs")


class ContentSecurityPolicyMiddleware:
    """Adds the Content-Security-Policy header to every answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Take the next handler."""
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request with the policy that its path needs."""
        response = self._get_response(request)
        styled = request.path.startswith(_STYLED_PREFIXES)
        response.headers["Content-Security-Policy"] = POLICY_WITH_STYLES if styled else POLICY
        return response
