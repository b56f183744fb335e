"""The two paths that the Seneschal answers itself: its health, and a page that shows it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aiohttp import web

from voidlux_site.environment_types import is_loopback_host
from voidlux_site.seneschal.answers import as_json, page, table
from voidlux_site.seneschal.following import Following
from voidlux_site.seneschal.proxy import Proxy

PAGE_PATH = "/seneschal"
HEALTH_PATH = "/seneschal/health"


class OwnPages:
    """What the Seneschal says of itself; details are for this machine only."""

    def __init__(self, following: Following, proxy: Proxy) -> None:
        """Take what there is to tell of."""
        self._following = following
        self._proxy = proxy

    def answer(self, request: web.BaseRequest) -> web.Response | None:
        """Return the answer of an own path, None for any other."""
        path = request.raw_path.partition("?")[0]
        if request.method not in ("GET", "HEAD") or path not in (PAGE_PATH, HEALTH_PATH):
            return None
        status = HTTPStatus.OK if self._following.upstream else HTTPStatus.SERVICE_UNAVAILABLE
        facts = self.facts() if is_loopback_host(request.remote or "") else self._status()
        if path == HEALTH_PATH:
            return as_json(facts, status)
        rows = {name.replace("_", " "): _text(value) for name, value in facts.items()}
        return page("Seneschal", f"<h1>Seneschal</h1>{table(rows)}", refresh=True)

    def facts(self) -> dict[str, Any]:
        """Return all that is known: the emperor, the mesh, and what was passed on."""
        upstream, age_s = self._following.upstream, self._following.heard_age_s()
        return {
            **self._status(),
            "emperor": upstream and upstream.node_id,
            "term": upstream and upstream.counter,
            "address": upstream and f"http://{upstream.address}",
            "heard_age_s": None if age_s is None else round(age_s, 1),
            "links": len(self._following.peers()),
            "open": self._proxy.open,
            "held": self._proxy.room.held,
            "websockets": len(self._proxy.websockets),
            "idle_connections": self._proxy.idle_connections,
            "counters": dict(self._proxy.counters),
            "refused_claims": dict(self._following.follower.refused),
        }

    def _status(self) -> dict[str, Any]:
        return {"status": "ok" if self._following.upstream else "no_emperor"}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {number}" for name, number in value.items()) or "none"
    return "none" if value is None else str(value)
