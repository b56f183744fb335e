"""A forge on 127.0.0.1 that speaks GitHub's and GitLab's API for the calls that are used."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.support.forge_server.github import GitHubApi
from tests.support.forge_server.gitlab import GitLabApi
from tests.support.forge_server.state import Answer, ForgeState
from tests.support.http_serving import serving

HANG_UP = 0
SILENT = -1


class ForgeServer:
    """A running forge: its state, its address, and every request as "METHOD path"."""

    def __init__(self, state: ForgeState) -> None:
        self.state = state
        self.requests: list[str] = []
        self.over = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port: int = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._apis = {
            "/api/v3/": GitHubApi(state, self.url),
            "/api/v4/": GitLabApi(state, self.url),
        }
        self._served = contextlib.ExitStack()
        self._served.enter_context(serving(self._http))

    def close(self) -> None:
        """Stop answering; what waits in silence is hung up on."""
        self.over.set()
        self._served.close()

    def made(self, method: str) -> list[str]:
        """Return the requests of a method."""
        return [each for each in self.requests if each.startswith(f"{method} ")]

    def respond(self, method: str, target: str, body: Any, headers: dict[str, str]) -> Answer:
        """Answer a request, or give the fault that is due instead."""
        parts = urlsplit(target)
        path = unquote(parts.path)
        self.requests.append(f"{method} {path}")
        fault = self.state.fault_for(method, path)
        if fault is not None and not fault.after_effect:
            return Answer(fault.status, fault.body, dict(fault.headers))
        query = dict(parse_qsl(parts.query))
        api = next((api for root, api in self._apis.items() if path.startswith(root)), None)
        if api is None:
            return Answer(404, "<html>no such page</html>")
        answer = api.answer(method, path, query, body, headers)
        if fault is not None:
            return Answer(fault.status, fault.body, dict(fault.headers))
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                body = json.loads(raw) if raw else None
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = server.respond(self.command, self.path, body, headers)
                if answer.status == SILENT:
                    server.over.wait(30)
                if answer.status in (SILENT, HANG_UP):
                    self.close_connection = True
                    return
                self._send(answer)

            def _send(self, answer: Answer) -> None:
                is_text = isinstance(answer.body, str)
                payload = answer.body.encode() if is_text else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                self.send_header("Content-Type", "text/html" if is_text else "application/json")
                self.send_header("Content-Length", str(len(payload)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_PATCH = do_PUT = _do

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        return Handler


@contextlib.contextmanager
def running_forge(state: ForgeState) -> Iterator[ForgeServer]:
    """Run a forge until the block ends."""
    server = ForgeServer(state)
    try:
        yield server
    finally:
        server.close()
