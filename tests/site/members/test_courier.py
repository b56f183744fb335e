"""One request carried over real sockets: whole, within limits, and with an honest failure."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from voidlux_site.forwarding import courier
from voidlux_site.forwarding.courier import AnswerLost, Letter, Unreached, carry

POST = Letter("POST", "/a%20b?c=%2F", {"X-One": "1", "Content-Type": "text/x"}, b"body")
GET = Letter("GET", "/", {}, b"")


@contextmanager
def serving(answer: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """Answer one request with raw bytes (None: say nothing until the end), then hang up."""
    heard: list[bytes] = []
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10)
                while b"\r\n\r\n" not in b"".join(heard) or not _is_whole(b"".join(heard)):
                    heard.append(connection.recv(65536))
                if answer is None:
                    over.wait(10)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", heard
        finally:
            over.set()
            thread.join(10)


def _is_whole(request: bytes) -> bool:
    head, _, body = request.partition(b"\r\n\r\n")
    return b"content-length: 4" not in head.lower() or len(body) == 4


def test_a_request_is_carried_as_it_is_and_its_answer_brought_back() -> None:
    answer = b"HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\nX-Two: 2\r\n\r\nhi"

    with serving(answer) as (url, heard):
        reply = carry(url, POST)

    assert (reply.status, reply.headers["x-two"], reply.body) == (418, "2", b"hi")
    head, _, body = b"".join(heard).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a%20b?c=%2F HTTP/1.1\r\n")
    assert (b"\r\nX-One: 1\r\n" in head, body) == (True, b"body")
    # A member that listens on every interface does not know the address that it is reached at.
    assert b"\r\nHost: localhost\r\n" in head


def test_a_redirect_is_an_answer() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n"

    with serving(answer) as (url, _):
        reply = carry(url, POST)

    assert (reply.status, reply.headers["location"]) == (302, "http://evil.example/")


def test_nobody_there_means_that_nothing_was_done() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(Unreached):
        carry(f"http://127.0.0.1:{port}", POST)


@pytest.mark.parametrize(("letter", "error"), [(POST, AnswerLost), (GET, Unreached)])
@pytest.mark.parametrize(
    "answer",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"],
)
def test_a_cut_answer_to_a_write_leaves_open_whether_it_is_done(
    answer: bytes, letter: Letter, error: type[Exception]
) -> None:
    with serving(answer) as (url, _), pytest.raises(error):
        carry(url, letter)


def test_silence_ends_at_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = httpx.Client(timeout=httpx.Timeout(5.0, read=0.05), trust_env=False)
    monkeypatch.setattr(courier, "_client", lambda: hasty)

    with serving(None) as (url, _), pytest.raises(AnswerLost):
        carry(url, POST)


def test_an_answer_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "ANSWER_BYTES_MAX", 10)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b"x" * 11

    with serving(answer) as (url, _), pytest.raises(AnswerLost, match="more than 10 bytes"):
        carry(url, POST)
