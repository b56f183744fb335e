"""`manage.py runseneschal` as a process: its lines, its ports, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from p2p.mesh.mesh import Mesh
from p2p.mesh.settings import Profile
from p2p.mesh.tls import Tls
from p2p.protocol.fields import Address
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.signing import seal
from swarm.replication.messages import EmperorHeartbeat, Term
from tests.support.mesh_nodes import QUICK
from tests.support.nodes import HOST, ROOT, free_ports
from tests.support.seneschals import serving
from tests.support.waiting import wait_for
from tests.support.wire import NETWORK, identity_number

SECRET = "a secret of the swarm"
STOP_S = 3.0
EMPEROR = identity_number(1)


class Process:
    """A Seneschal in a home of its own."""

    def __init__(self, home: Path, *arguments: str, **variables: str) -> None:
        self.home = home
        self._arguments = arguments
        self._variables = variables
        self.running: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "VOIDLUX_HOME": str(self.home),
            **{f"VOIDLUX_{name.upper()}": value for name, value in self._variables.items()},
        }

    def command(self) -> list[str]:
        return [sys.executable, "manage.py", "runseneschal", *self._arguments]

    def launch(self) -> None:
        with (self.home / "out").open("wb") as out, (self.home / "err").open("wb") as err:
            self.running = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def lines(self) -> list[str]:
        return (self.home / "out").read_text().splitlines()

    def end(self) -> None:
        if self.running is not None and self.running.poll() is None:
            self.running.kill()
            self.running.wait()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for each in started:
        each.end()


async def hello(request: web.BaseRequest) -> web.Response:
    return web.Response(text=f"hello {request.raw_path}")


def a_mesh() -> Mesh:
    registry = MessageRegistry()
    registry.register(EmperorHeartbeat)
    return Mesh(
        identity=EMPEROR,
        network=NETWORK,
        profile=Profile(swarm="home", secret=SECRET),
        registry=registry,
        deliver=lambda received, _: True,
        on_peer_up=lambda peer: None,
        on_peer_down=lambda node_id: None,
        tls=Tls.of(EMPEROR),
        limits=QUICK,
    )


def beat(mesh: Mesh, http_port: int, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "origin": EMPEROR.node_id,
        "public_key": EMPEROR.public_key_text,
        "lamport_ts": time.time_ns() // 1_000_000,
        "swarm": "home",
        "term": Term(counter=1, node_id=EMPEROR.node_id),
        "addresses": [Address(host=HOST, port=mesh.port)],
        "http_port": http_port,
    }
    mesh.flood(seal(EmperorHeartbeat(**{**fields, **changes}), EMPEROR, NETWORK))


async def test_it_follows_serves_tells_and_ends_in_time(
    home: Path, processes: list[Process]
) -> None:
    mesh = a_mesh()
    mesh_port = await mesh.start(HOST, 0)
    p2p_port, http_port = free_ports(2)
    given = Process(
        home,
        "--p2p-port",
        str(p2p_port),
        f"--http-port={http_port}",
        auth_secret=SECRET,
        seeds=f"{HOST}:{mesh_port}",
        seneschal_hold_s="0.1",
    )
    processes.append(given)
    given.launch()
    assert given.running is not None
    async with serving(hello) as port, aiohttp.ClientSession() as client:
        await wait_for(lambda: any(each.member for each in mesh.peers()))
        await wait_for(lambda: "no emperor yet" in given.lines())
        async with client.get(f"http://{HOST}:{http_port}/x") as answer:
            assert answer.status == 503
        beat(mesh, port)
        await wait_for(lambda: len(given.lines()) == 3)
        async with client.get(f"http://{HOST}:{http_port}/x?y") as answer:
            assert (answer.status, await answer.text()) == (200, "hello /x?y")
        beat(mesh, port, abdicated=True, lamport_ts=time.time_ns() // 1_000_000 + 1)
        await wait_for(lambda: len(given.lines()) == 4)

        given.running.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(given.running.wait, STOP_S)
    await mesh.stop()

    short = EMPEROR.node_id[:8]
    first, *others = given.lines()
    assert code == 0
    assert first.startswith("Seneschal ")
    assert first.endswith(f" of swarm home at http://{HOST}:{http_port}, mesh at {HOST}:{p2p_port}")
    assert others == [
        "no emperor yet",
        f"emperor: {short}, term 1, at http://{HOST}:{port}",
        f"no emperor: {short} gave its office up",
    ]
    assert "Traceback" not in (home / "err").read_text()
    assert not list(home.glob("*.sqlite3")), "it has no database"


def refused(given: Process) -> str:
    done = subprocess.run(
        given.command(),
        cwd=ROOT,
        env=given.environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    [line] = done.stderr.splitlines()
    return line


def test_without_the_secret_it_says_what_is_missing(home: Path) -> None:
    assert refused(Process(home)) == (
        "VOIDLUX_AUTH_SECRET is not set: without the swarm's secret nobody tells this Seneschal "
        "who is emperor"
    )


@pytest.mark.parametrize(
    ("option", "variable"),
    [("--http-port", "VOIDLUX_HTTP_PORT"), ("--p2p-port", "VOIDLUX_P2P_PORT")],
)
def test_a_wrong_port_is_named(option: str, variable: str, home: Path) -> None:
    line = refused(Process(home, option, "many", auth_secret=SECRET))

    assert line == f"{variable} is 'many': a whole number from 1 to 65535 is allowed"


async def test_a_port_in_use_is_named(home: Path) -> None:
    async with serving(hello) as port:
        p2p_port = free_ports(1)[0]
        given = Process(home, f"--http-port={port}", f"--p2p-port={p2p_port}", auth_secret=SECRET)
        line = await asyncio.to_thread(refused, given)

    assert line == (f"VOIDLUX_HTTP_PORT is {port}: cannot listen on {HOST}: address already in use")
