"""Real nodes for tests: `manage.py runnode` with a home, ports and an environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
STOP_S = 20.0
REQUEST_S = 10.0


@dataclass(frozen=True)
class RunningNode:
    """A node process, and how to reach it."""

    process: subprocess.Popen[bytes]
    home: Path
    p2p_port: int
    http_port: int

    def get(self, path: str) -> Any:
        """Return the JSON that the API answers to a GET of `/api/swarm` and `path`."""
        return self._ask(path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the JSON that the API answers to a POST."""
        return self._ask(path, json.dumps(body).encode())

    def log(self) -> str:
        """Return what the node wrote so far."""
        return (self.home / "node.log").read_text(errors="replace")

    def is_healthy(self) -> bool:
        """Tell whether the process lives and its API answers."""
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended with {self.process.returncode}:\n{self.log()}")
        with contextlib.suppress(URLError, ConnectionError, TimeoutError):
            return bool(self._ask("/health", token=False)["status"] == "ok")
        return False

    def stop(self) -> int:
        """End the node as an operator does and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            _end(self.process)
            raise AssertionError(f"the node did not stop in {STOP_S} s:\n{self.log()}") from None

    def _ask(self, path: str, body: bytes | None = None, *, token: bool = True) -> Any:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {(self.home / 'api-token').read_text().strip()}"
        request = Request(f"http://127.0.0.1:{self.http_port}/api/swarm{path}", body, headers)
        with urlopen(request, timeout=REQUEST_S) as response:
            return json.load(response)


@contextlib.contextmanager
def running_node(home: Path, **variables: str) -> Iterator[RunningNode]:
    """Run a node in `home` until the block ends; `variables` are VOIDLUX_* without the prefix."""
    home.mkdir(parents=True, exist_ok=True)
    p2p_port, http_port = free_ports(2)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "VOIDLUX_HOME": str(home),
        "VOIDLUX_P2P_PORT": str(p2p_port),
        "VOIDLUX_HTTP_PORT": str(http_port),
        **{f"VOIDLUX_{name.upper()}": value for name, value in variables.items()},
    }
    with (home / "node.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "runnode"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    node = RunningNode(process, home, p2p_port, http_port)
    try:
        _wait_until_healthy(node)
        yield node
    except BaseException:
        _end(process)
        raise
    if process.poll() is None:
        code = node.stop()
        assert code == 0, f"the node ended with {code}:\n{node.log()}"


def free_ports(count: int) -> list[int]:
    """Return TCP ports of the loopback that nobody uses at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait_until_healthy(node: RunningNode) -> None:
    deadline = time.monotonic() + START_S
    while not node.is_healthy():
        if time.monotonic() > deadline:
            raise AssertionError(f"the node is not healthy after {START_S} s:\n{node.log()}")
        time.sleep(0.1)
