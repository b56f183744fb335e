"""A real Seneschal before a server, and an emperor that says that it is there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from p2p.mesh.mesh import Mesh
from p2p.mesh.settings import Profile
from p2p.mesh.tls import Tls
from p2p.protocol.fields import Address
from p2p.protocol.identity import Identity
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.signing import seal
from swarm.replication.messages import EmperorHeartbeat, Term
from tests.support.nodes import free_ports, running_node

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
NETWORK, SWARM, SECRET = "bench", "home", "a secret of the bench"
BEAT_EVERY_S = 2.0
START_S = 60.0


@dataclass(frozen=True)
class Scene:
    """Where the server and the Seneschal before it listen, and the Seneschal's process."""

    direct: int
    through: int
    pid: int


@contextlib.contextmanager
def small_server() -> Iterator[int]:
    """Run the small server; yields its port."""
    with _process("-m", "benchmarks.seneschal.upstream", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@contextlib.contextmanager
def real_node() -> Iterator[int]:
    """Run a node without a worker; yields the port of its API."""
    with tempfile.TemporaryDirectory() as home, running_node(Path(home), worker=False) as node:
        yield node.http_port


@contextlib.asynccontextmanager
async def seneschal_before(port: int) -> AsyncIterator[Scene]:
    """Run a Seneschal whose emperor is at the port, in a process of its own."""
    identity = Identity.generate()
    mesh = _mesh(identity)
    mesh_port = await mesh.start(HOST, 0)
    p2p_port, http_port = free_ports(2)
    with tempfile.TemporaryDirectory() as home:
        variables = {
            "VOIDLUX_HOME": home,
            "VOIDLUX_NETWORK": NETWORK,
            "VOIDLUX_SWARM": SWARM,
            "VOIDLUX_AUTH_SECRET": SECRET,
            "VOIDLUX_P2P_PORT": str(p2p_port),
            "VOIDLUX_HTTP_PORT": str(http_port),
            "VOIDLUX_SEEDS": f"{HOST}:{mesh_port}",
        }
        with _process("manage.py", "runseneschal", **variables) as process:
            beating = asyncio.ensure_future(_beat(mesh, identity, port))
            try:
                await _until_it_answers(http_port)
                yield Scene(port, http_port, process.pid)
            finally:
                beating.cancel()
                await mesh.stop()


@contextlib.contextmanager
def _process(
    *arguments: str, stdout: int = subprocess.DEVNULL, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _mesh(identity: Identity) -> Mesh:
    registry = MessageRegistry()
    registry.register(EmperorHeartbeat)
    return Mesh(
        identity=identity,
        network=NETWORK,
        profile=Profile(swarm=SWARM, secret=SECRET),
        registry=registry,
        deliver=lambda received, from_node_id: True,
        on_peer_up=lambda peer: None,
        on_peer_down=lambda node_id: None,
        tls=Tls.of(identity),
    )


async def _beat(mesh: Mesh, identity: Identity, http_port: int) -> None:
    while True:
        message = EmperorHeartbeat(
            origin=identity.node_id,
            public_key=identity.public_key_text,
            lamport_ts=time.time_ns() // 1_000_000,
            swarm=SWARM,
            term=Term(counter=1, node_id=identity.node_id),
            addresses=[Address(host=HOST, port=mesh.port)],
            http_port=http_port,
        )
        mesh.flood(seal(message, identity, NETWORK))
        await asyncio.sleep(BEAT_EVERY_S if mesh.peers() else 0.1)


async def _until_it_answers(port: int) -> None:
    async with asyncio.timeout(START_S):
        while not await _is_ready(port):  # noqa: ASYNC110 - another process tells of no event
            await asyncio.sleep(0.1)


async def _is_ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.write(b"GET /seneschal/health HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.startswith(b"HTTP/1.1 200")
