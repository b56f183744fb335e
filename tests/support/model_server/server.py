"""The HTTP server: takes requests of all three protocols and answers as the script says."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.http_serving import serving
from tests.support.model_server.protocols import (
    AnthropicMessages,
    OpenAIChat,
    OpenAIResponses,
    ProviderProtocol,
    as_bytes,
)
from tests.support.model_server.script import Conversation, Step, next_call
from tests.support.nodes import HOST

PROTOCOLS: dict[str, ProviderProtocol] = {
    "/v1/messages": AnthropicMessages(),
    "/v1/responses": OpenAIResponses(),
    "/v1/chat/completions": OpenAIChat(),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a provider answers instead: an HTTP status, headers, and a JSON body."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class ModelServer:
    """A running server: its address, and what it was asked; `turns` are those with tools."""

    script: Sequence[Step]
    refusal: Refusal | None = None
    port: int = 0
    turns: list[Conversation] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Its address without a path."""
        return f"http://{HOST}:{self.port}"

    def events(self, path: str, body: dict[str, Any]) -> Iterator[bytes]:
        """Return the answer to one request, as server-sent events."""
        protocol = PROTOCOLS[path]
        conversation = protocol.read(body)
        call = None
        # Titles and summaries are asked for without tools, on the side.
        if conversation.tools:
            with self.lock:
                self.turns.append(conversation)
            call = next_call(self.script, conversation)
        return map(as_bytes, protocol.answer(body, call, len(conversation.results) + 1))


@contextmanager
def running_model(script: Sequence[Step], refusal: Refusal | None = None) -> Iterator[ModelServer]:
    """Serve a model that plays `script`, or refuses, until the block ends."""
    model = ModelServer(script, refusal)
    handler = type("Handler", (_Handler,), {"model": model})
    server = ThreadingHTTPServer((HOST, 0), handler)
    model.port = server.server_address[1]
    with serving(server):
        yield model


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: ModelServer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: what was asked is kept in the model."""

    def do_HEAD(self) -> None:
        self._send(200, "application/json", b"")

    def do_GET(self) -> None:
        self._send(200, "application/json", b'{"data": [], "object": "list"}')

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        given = self.headers.get("x-api-key") or self.headers.get("authorization") or ""
        self.model.keys.add(given.removeprefix("Bearer "))
        if path not in PROTOCOLS:
            self._send(404, "application/json", b'{"error": {"message": "not served"}}')
            return
        if (refusal := self.model.refusal) is not None:
            body = json.dumps(refusal.body).encode()
            self._send(refusal.status, "application/json", body, refusal.headers)
            return
        try:
            stream = b"".join(self.model.events(path, json.loads(data)))
        except Exception:
            self.model.errors.append(f"{path} {traceback.format_exc()}")
            self._send(400, "application/json", b'{"error": {"message": "the script failed"}}')
            return
        self._send(200, "text/event-stream", stream)

    def _send(
        self, status: int, kind: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
