"""A browser at one address: it logs in once, keeps its cookie, and never says who answers it."""

from __future__ import annotations

import hashlib
import re

import httpx

from p2p.protocol.errors import ExternalError
from voidlux_site.demo.client import Json
from voidlux_site.demo.tab import LiveTab, Looks

SESSION_COOKIE = "voidlux_session_"
# Longer than the Seneschal holds a request while there is no emperor.
ANSWER_WITHIN_S = 30.0

_FORM_TOKEN = re.compile(r'X-CSRFToken": "(\w+)"')


class Browser:
    """One session at a URL; what it cannot do raises ExternalError."""

    def __init__(self, url: str) -> None:
        """Take the only address that it will ever ask."""
        self._url = url
        self._logins = 0
        self._http = httpx.Client(
            base_url=url,
            headers={"Origin": url},
            # Connections are opened anew as a proxy cuts them.
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=ANSWER_WITHIN_S,
            trust_env=False,
            follow_redirects=True,
            event_hooks={"request": [self._count_login]},
        )
        self._tab: LiveTab | None = None
        self._looks: Looks | None = None
        self._before: Json = {}

    def open(self, link: str) -> None:
        """Log in by a link, and look at the dashboard from now on until `close`."""
        page = self._ask("GET", link)
        self._before = self._session(page)
        token = _FORM_TOKEN.search(page.text)
        if token is not None:
            self._http.headers["X-CSRFToken"] = token[1]
        cookies = dict(self._http.cookies)
        self._tab = LiveTab(self._url, cookies)
        self._looks = Looks(self._url, cookies)
        self._tab.start()
        self._looks.start()

    def submit(self, fields: dict[str, str]) -> None:
        """Send the dashboard's form of a new goal."""
        self._ask("POST", "/goals/new", data=fields, headers={"HX-Request": "true"})

    def get(self, path: str) -> Json:
        """Return the JSON that the API answers to the session's cookie."""
        told: Json = self._ask("GET", f"/api/swarm{path}").json()
        return told

    def facts(self) -> Json:
        """Look once more, and return what became of the session, its page and its events."""
        after = self._session(self._ask("GET", "/"))
        return {
            "url": self._url,
            "logins": self._logins,
            "before": self._before,
            "after": after,
            "looks": self._looks.facts() if self._looks is not None else {},
            "live": self._tab.facts() if self._tab is not None else [],
        }

    def close(self) -> None:
        """Close everything that is open."""
        for each in (self._tab, self._looks):
            if each is not None:
                each.stop()
        self._http.close()

    def _session(self, page: httpx.Response) -> Json:
        """Return how a page was answered, and a hash of the cookie that asked for it."""
        cookies = dict(self._http.cookies)
        mine = next((v for name, v in cookies.items() if name.startswith(SESSION_COOKIE)), "")
        return {
            "status": page.status_code,
            "path": page.url.path,
            "cookie": hashlib.sha256(mine.encode()).hexdigest()[:16] if mine else "",
        }

    def _ask(self, method: str, path: str, **options: object) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            text = f"{method} {self._url}{path}: {error or type(error).__name__}"
            raise ExternalError(text, retryable=True) from error
        if answer.is_server_error or (answer.is_error and method != "GET"):
            text = f"{method} {answer.url} answered {answer.status_code}: {answer.text[:200]}"
            raise ExternalError(text, retryable=answer.is_server_error)
        return answer

    def _count_login(self, request: httpx.Request) -> None:
        self._logins += request.url.path.startswith("/login")
