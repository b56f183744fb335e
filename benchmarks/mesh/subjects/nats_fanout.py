"""NATS: one server, N clients that all subscribe and publish to one subject.

    python -m benchmarks.mesh.subjects.nats_fanout NODES

A server in the middle is not what a mesh is, but what many would pick: it signs and verifies
nothing, encrypts nothing here, and copies in compiled code. Server and clients are two processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

from benchmarks.mesh.asyncio_load import closed_loop_awaiting, open_loop
from benchmarks.mesh.load import Load
from benchmarks.mesh.result import Result

HOST = "127.0.0.1"
SUBJECT = "blobs"
READY_WITHIN_S = 10.0


def run(count: int) -> Result:
    """Measure N clients of a server of our own."""
    program = _server_program()
    port = _free_port()
    server = subprocess.Popen(
        [program, "-a", HOST, "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        result = uvloop.run(_measure(count, port))
    finally:
        server.terminate()
        server.wait()
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    result.versions["nats-server"] = said.stdout.split()[-1].removeprefix("v")
    return result


async def _measure(count: int, port: int) -> Result:
    now_under: list[Load] = []

    async def on_message(message: Msg) -> None:
        now_under[-1].arrived(message.data)

    # A client gets nothing that it published itself, as in a mesh.
    clients = [await _client(port) for _ in range(count)]
    for client in clients:
        await client.subscribe(SUBJECT, cb=on_message)
        await client.flush()

    async def publish(publisher: int, payload: bytes) -> None:
        await clients[publisher].publish(SUBJECT, payload)

    result = Result()
    result.add_versions("nats-py", "uvloop")
    now_under.append(Load(count - 1))
    await open_loop(now_under[-1], publish, count)
    result.note_open(f"nats {count}", now_under[-1])
    now_under.append(Load(count - 1))
    await closed_loop_awaiting(now_under[-1], publish, count)
    result.note_closed(f"nats {count}", now_under[-1])
    for client in clients:
        await client.close()
    return result


async def _client(port: int) -> Client:
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            with contextlib.suppress(OSError, nats.errors.NoServersError):
                return await nats.connect(
                    f"nats://{HOST}:{port}", no_echo=True, allow_reconnect=False
                )
            await asyncio.sleep(0.05)


def _server_program() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise FileNotFoundError("nats-server is not installed")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    run(int(sys.argv[1])).print()
