"""A language model's provider on loopback: speaks three wire formats and answers as it is told.

Ollama is asked over its OpenAI-compatible endpoint, in the form that it answers there itself: each
chunk names the role, `system_fingerprint` is `fp_ollama`, and structured output is plain content.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import pytest
from django.conf import settings
from pydantic import SecretStr

from tests.support.http_serving import serving
from tests.support.nodes import HOST

KEY = "sk-test-0123456789abcdefghij"
PIECE_CHARS = 12
TOKENS_IN, TOKENS_OUT = 120, 30

Provider = Literal["anthropic", "openai", "ollama"]
PROVIDERS: tuple[Provider, ...] = ("anthropic", "openai", "ollama")
PATHS = {
    "anthropic": "/v1/messages",
    "openai": "/v1/chat/completions",
    "ollama": "/v1/chat/completions",
}
_END_REASONS = {
    "anthropic": {"done": "tool_use", "cut": "max_tokens", "refused": "refusal"},
    "openai": {"done": "tool_calls", "cut": "length", "refused": "content_filter"},
    "ollama": {"done": "stop", "cut": "length", "refused": "content_filter"},
}
_PLAIN_END = {"anthropic": "end_turn", "openai": "stop", "ollama": "stop"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request is answered with."""

    raw: str = ""
    as_text: bool = False
    end: Literal["done", "cut", "refused"] = "done"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    then: Literal["end", "stall", "drop", "close", "error"] = "end"
    tokens: tuple[int, int] | None = (TOKENS_IN, TOKENS_OUT)

    def using(self, tokens_in: int, tokens_out: int) -> Reply:
        """Return this reply with other figures of tokens used."""
        return replace(self, tokens=(tokens_in, tokens_out))

    def uncounted(self) -> Reply:
        """Return this reply without figures of tokens used, as some servers answer."""
        return replace(self, tokens=None)


def answer(value: dict[str, Any]) -> Reply:
    """Answer with an object, in the form that was asked for."""
    return Reply(json.dumps(value))


def raw_answer(text: str) -> Reply:
    """Answer with what need not be JSON, where an object was asked for."""
    return Reply(text)


def plain_text(text: str) -> Reply:
    """Answer with a message, though an object was asked for."""
    return Reply(text, as_text=True)


def truncated(text: str) -> Reply:
    """Stop in the middle of an answer because it has as many tokens as are allowed."""
    return Reply(text, end="cut")


def refused() -> Reply:
    """Refuse because of what was asked."""
    return Reply(as_text=True, end="refused")


def stalled(text: str = "") -> Reply:
    """Say `text`, and then nothing any more, without closing; without text not even a status."""
    return Reply(text, then="stall")


def dropped(text: str) -> Reply:
    """Break off in the middle of the stream, as a connection that is reset."""
    return Reply(text, then="drop")


def closed_early(text: str) -> Reply:
    """End the stream in order, before the answer is at its end."""
    return Reply(text, then="close")


def failing(text: str, message: str) -> Reply:
    """Say `text`, and then report an error within the stream, as an overloaded provider does."""
    return Reply(text, then="error", body={"type": "overloaded_error", "message": message})


def http_status(status: int, message: str = "", **headers: str) -> Reply:
    """Answer with an HTTP status and the provider's kind of error body; `_` in names is `-`."""
    error = {"type": "error", "error": {"type": "api_error", "message": message, "code": None}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body=error)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came: path, headers in lower case, and JSON body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """All that the model is told, as one JSON text."""
        return json.dumps([self.body.get("system", ""), self.body["messages"]], ensure_ascii=False)


@dataclass
class LlmServer:
    """A running provider: what it will answer, one reply per request, and what it was asked."""

    provider: Provider
    replies: list[Reply]
    port: int = 0
    requests: list[Asked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Its address without a path."""
        return f"http://{HOST}:{self.port}"

    def next_reply(self, asked: Asked) -> Reply:
        """Note a request and return what it is answered with."""
        with self.lock:
            self.requests.append(asked)
            if asked.path != PATHS[self.provider]:
                return http_status(404, f"no {asked.path} here")
            return self.replies.pop(0) if self.replies else http_status(500, "no reply is left")


@contextlib.contextmanager
def running_llm(provider: Provider, replies: Sequence[Reply]) -> Iterator[LlmServer]:
    """Serve a provider that gives `replies`, one after the other, until the block ends."""
    llm = LlmServer(provider, list(replies))
    handler = type("Handler", (_Handler,), {"llm": llm})
    server = ThreadingHTTPServer((HOST, 0), handler)
    llm.port = server.server_address[1]
    with serving(server):
        try:
            yield llm
        finally:
            llm.over.set()


def ask_at(monkeypatch: pytest.MonkeyPatch, llm: LlmServer, **variables: Any) -> None:
    """Have this node ask a running provider; `variables` are further fields of its settings."""
    update = {
        "llm_provider": llm.provider,
        "llm_model": "test-model",
        "llm_host": HOST,
        "llm_port": llm.port,
        "anthropic_api_key": SecretStr(KEY),
        "openai_api_key": SecretStr(KEY),
        "llm_time_limit_s": 20,
        **variables,
    }
    monkeypatch.setattr(settings, "ENVIRONMENT", settings.ENVIRONMENT.model_copy(update=update))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    llm: LlmServer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: what was asked is kept in the server."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.llm.next_reply(Asked(self.path.partition("?")[0], headers, body))
        with contextlib.suppress(OSError):  # who asked may have left meanwhile
            self._send(reply, body)

    def _send(self, reply: Reply, body: dict[str, Any]) -> None:
        if reply.then == "stall" and not reply.raw:
            self._wait()
        elif reply.status != 200:
            self._refuse(reply)
        else:
            self._stream(reply, body)

    def _refuse(self, reply: Reply) -> None:
        data = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {"content-type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, reply: Reply, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        begun, end = _events(self.llm.provider, reply, body)
        for event in begun:
            self._chunk(event)
        if reply.then == "stall":
            self._wait()
            return
        if reply.then == "end":
            for event in end:
                self._chunk(event)
        if reply.then == "error":
            self._chunk(_error_event(self.llm.provider, reply.body))
        if reply.then == "drop":
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _wait(self) -> None:
        self.llm.over.wait()
        self.close_connection = True


def _events(
    provider: Provider, reply: Reply, body: dict[str, Any]
) -> tuple[list[bytes], list[bytes]]:
    """Return the server-sent events of an answer: its content, and what ends it."""
    plain = reply.as_text or (provider == "ollama" and "response_format" in body)
    ended = _PLAIN_END[provider] if plain and reply.end == "done" else None
    reason = ended or _END_REASONS[provider][reply.end]
    pieces = [reply.raw[at : at + PIECE_CHARS] for at in range(0, len(reply.raw), PIECE_CHARS)]
    if provider == "anthropic":
        return _anthropic(reply, body, plain, reason, pieces)
    return _openai(provider, reply, body, plain, reason, pieces)


def _anthropic(
    reply: Reply, body: dict[str, Any], plain: bool, reason: str, pieces: list[str]
) -> tuple[list[bytes], list[bytes]]:
    tokens_in, tokens_out = reply.tokens or (0, 0)
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": body["model"],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": tokens_in, "output_tokens": 1 if tokens_out else 0},
    }
    block: dict[str, Any] = {"type": "text", "text": ""}
    if not plain:
        name = body["tools"][0]["name"]
        block = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
    begun = [_typed("message_start", message=message), _typed("ping")]
    if reply.raw:
        begun.append(_typed("content_block_start", index=0, content_block=block))
    for piece in pieces:
        delta = {"type": "input_json_delta", "partial_json": piece}
        if plain:
            delta = {"type": "text_delta", "text": piece}
        begun.append(_typed("content_block_delta", index=0, delta=delta))
    ended = {"stop_reason": reason, "stop_sequence": None}
    end = [_typed("content_block_stop", index=0)] if reply.raw else []
    end.append(_typed("message_delta", delta=ended, usage={"output_tokens": tokens_out}))
    return begun, [*end, _typed("message_stop")]


def _openai(
    provider: str, reply: Reply, body: dict[str, Any], plain: bool, reason: str, pieces: list[str]
) -> tuple[list[bytes], list[bytes]]:
    fixed: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": body["model"],
        "system_fingerprint": "fp_ollama" if provider == "ollama" else "fp_1",
    }

    def chunk(delta: dict[str, Any], ended: str | None = None) -> bytes:
        role = {"role": "assistant"} if provider == "ollama" else {}
        choice = {"index": 0, "delta": {**role, **delta}, "finish_reason": ended}
        return _data({**fixed, "choices": [choice]})

    begun = [] if provider == "ollama" else [chunk({"role": "assistant", "content": None})]
    if not plain and reply.raw:
        name = body["tools"][0]["function"]["name"]
        function = {"name": name, "arguments": ""}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        begun.append(chunk({"tool_calls": [call]}))
    for piece in pieces:
        call = {"index": 0, "function": {"arguments": piece}}
        begun.append(chunk({"content": piece} if plain else {"tool_calls": [call]}))
    end = [chunk({"content": ""} if plain else {}, reason)]
    if reply.tokens and body.get("stream_options", {}).get("include_usage"):
        used = {"prompt_tokens": reply.tokens[0], "completion_tokens": reply.tokens[1]}
        usage = {**used, "total_tokens": sum(reply.tokens)}
        end.append(_data({**fixed, "choices": [], "usage": usage}))
    return begun, [*end, b"data: [DONE]\n\n"]


def _error_event(provider: Provider, error: dict[str, Any]) -> bytes:
    return _typed("error", error=error) if provider == "anthropic" else _data({"error": error})


def _typed(name: str, **fields: Any) -> bytes:
    return f"event: {name}\n".encode() + _data({"type": name, **fields})


def _data(fields: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"
