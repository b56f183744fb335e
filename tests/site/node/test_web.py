"""The web server as a guest: answers, ends cleanly with work in flight, tells bind errors."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
from contextlib import suppress

import pytest

from tests.support.web_guest import running_guest, spawn_guest

HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def stop_guest(process: subprocess.Popen[str]) -> tuple[int, float, str]:
    """Return exit code, seconds that the server took to stop, and everything on stderr."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    return process.returncode, json.loads(out)["stopped_after_s"], err


def open_request(port: int, path: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=15)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return client


def read_to_end(client: socket.socket) -> bytes:
    with client:
        received = b""
        while part := client.recv(65536):
            received += part
        return received


def open_websocket(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=15)
    client.sendall(HANDSHAKE.encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += client.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 ")
    return client


def read_close_frame(client: socket.socket) -> tuple[int, str]:
    """Return code and reason of the close frame that the server sends next."""
    with client:
        head = client.recv(2)
        assert head[0] == 0x88
        payload = client.recv(head[1])
        client.sendall(bytes([0x88, 0x82, 0, 0, 0, 0]) + payload[:2])
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()


def test_request_is_answered_and_the_idle_server_stops_at_once() -> None:
    with running_guest() as (process, port):
        client = open_request(port, "/")
        while b"whole" not in (answer := client.recv(65536)):
            pass
        code, stopped_after_s, err = stop_guest(process)
        rest = read_to_end(client)

    assert answer.endswith(b"whole")
    assert (code, err, rest) == (0, "", b"")
    assert stopped_after_s < 0.5


def test_stop_refuses_what_is_in_flight_and_finishes_what_ends_in_time() -> None:
    with running_guest() as (process, port):
        slow = [open_request(port, "/slow") for _ in range(5)]
        half = open_request(port, "/half")
        while b"half" not in half.recv(65536):
            pass
        thread = open_request(port, "/thread")
        unfinished = socket.create_connection(("127.0.0.1", port), timeout=15)
        unfinished.sendall(b"GET /")
        open_request(port, "/").recv(65536)
        code, stopped_after_s, err = stop_guest(process)
        answers = [read_to_end(client)[:12] for client in slow]
        whole = read_to_end(thread)
        unfinished.close()

    assert (code, err) == (0, "")
    assert answers == [b"HTTP/1.1 503"] * 5
    assert whole.endswith(b"whole")
    assert stopped_after_s < 2.5
    with pytest.raises(OSError):
        read_to_end(half)


def test_websockets_get_a_close_frame() -> None:
    with running_guest() as (process, port):
        clients = [open_websocket(port) for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        frames = [read_close_frame(client) for client in clients]
        out, err = process.communicate(timeout=20)

    assert frames == [(1001, "the node is stopping")] * 3
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["stopped_after_s"] < 1.0


def test_silent_websocket_does_not_hold_up_the_end() -> None:
    with running_guest() as (process, port):
        client = open_websocket(port)
        code, stopped_after_s, err = stop_guest(process)
        client.close()

    assert (code, err) == (0, "")
    assert stopped_after_s < 2.5


@pytest.mark.parametrize(("arguments", "loop"), [((), "uvloop"), (("asyncio",), "asyncio")])
def test_the_server_is_a_guest_of_either_loop(arguments: tuple[str, ...], loop: str) -> None:
    process = spawn_guest(0, *arguments)
    assert process.stdout is not None
    started = json.loads(process.stdout.readline())
    client = open_websocket(started["port"])
    code, _, err = stop_guest(process)
    client.close()

    assert (started["loop"], code, err) == (loop, 0, "")


def test_port_in_use_is_an_os_error() -> None:
    with running_guest() as (_, port):
        second = spawn_guest(port)
        out, err = second.communicate(timeout=20)

    answer = json.loads(out)
    assert (second.returncode, err, answer["errno"]) == (3, "", errno.EADDRINUSE)
    assert answer["text"].endswith(
        f"cannot listen on 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}"
    )


@pytest.mark.processes
async def test_twenty_starts_and_stops_under_load_end_with_zero() -> None:
    async def one_cycle() -> int:
        def cycle() -> int:
            with running_guest() as (process, port):
                clients = [open_request(port, "/slow") for _ in range(4)]
                clients += [open_request(port, "/thread"), open_websocket(port)]
                code, _, err = stop_guest(process)
                for client in clients:
                    client.close()
                assert err == ""
                return code

        return await asyncio.to_thread(cycle)

    codes: list[int] = []
    for _ in range(5):
        codes += await asyncio.gather(*(one_cycle() for _ in range(4)))

    assert codes == [0] * 20
