"""A client of one node's REST API, for the demo and the commands of the shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from p2p.protocol.errors import DomainError, ExternalError

TIMEOUT_S = 10.0
PAGE_SIZE = 200
SERVER_ERROR = 500

Json = dict[str, Any]


class NodeClient:
    """Speaks to one node with its bearer token.

    Every call raises DomainError with the problem's code where the node refuses, and
    ExternalError (retryable) where it cannot be reached or fails.
    """

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        """Take the node's base URL and the text of its `api-token` file."""
        self.url = url
        self._http = httpx.Client(
            base_url=f"{url}/api/swarm",
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            transport=transport,
            trust_env=False,  # the node is on this machine: never through the user's proxy
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def use_token(self, token: str) -> None:
        """Send another bearer token from now on."""
        self._http.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **params: Any) -> Json:
        """Return the JSON object at `path`."""
        return self._call("GET", path, params=params)

    def items(self, path: str, **params: Any) -> list[Json]:
        """Return all items of a list, page by page."""
        found: list[Json] = []
        cursor = ""
        while True:
            page = self.get(
                path, **params, limit=PAGE_SIZE, **({"cursor": cursor} if cursor else {})
            )
            found += page["items"]
            cursor = page["next_cursor"] or ""
            if not cursor:
                return found

    def post(self, path: str, body: Mapping[str, Any]) -> Json:
        """Post a JSON object and return the answer."""
        return self._call("POST", path, json=dict(body))

    def put(self, path: str, body: Mapping[str, Any]) -> Json:
        """Put a JSON object and return the answer."""
        return self._call("PUT", path, json=dict(body))

    def is_healthy(self) -> bool:
        """Tell whether the node answers its health check."""
        try:
            self.get("/health")
        except (DomainError, ExternalError):
            return False
        return True

    def _call(self, method: str, path: str, **options: Any) -> Json:
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ExternalError(
                f"{method} {self.url}{path}: {error or type(error).__name__}", retryable=True
            ) from error
        if response.is_error:
            raise _refusal(method, self.url + path, response)
        answer: Json = response.json()
        return answer


def _refusal(method: str, url: str, response: httpx.Response) -> DomainError | ExternalError:
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        code, detail = "http_error", response.text[:200]
    message = f"{method} {url} answered {response.status_code}: {detail}"
    if response.status_code >= SERVER_ERROR:
        return ExternalError(message, retryable=True)
    return DomainError(code, message, response.status_code)
