"""A real node as a child process, with the login link that it prints."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swarm.agents.tmux import TmuxServer
from tests.support.terminals import end_terminals

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
STOP_S = 20.0
_LINK = re.compile(r"(http://\S+)(/login/\S+)")


@dataclass
class RunningNode:
    """Where a node's dashboard is, and the link that opens it once."""

    url: str
    login_path: str
    environment: dict[str, str]

    def new_login_path(self) -> str:
        """Return another such link, as an operator asks for it."""
        asked = [sys.executable, "manage.py", "loginlink"]
        done = subprocess.run(
            asked, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=True
        )
        found = _LINK.search(done.stdout)
        assert found is not None, done.stdout
        return found[2]


@contextlib.contextmanager
def running_node(home: Path, **variables: str) -> Iterator[RunningNode]:
    """Run a node until the block ends; AssertionError with its output when it does not start."""
    p2p_port, http_port = free_port(), free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "VOIDLUX_HOME": str(home),
        "VOIDLUX_P2P_PORT": str(p2p_port),
        "VOIDLUX_HTTP_PORT": str(http_port),
        **variables,
    }
    process = subprocess.Popen(
        [sys.executable, "manage.py", "runnode"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
    reader.start()
    try:
        url, path = _wait_for_link(process, lines)
        yield RunningNode(url, path, environment)
    finally:
        _end(process)
        reader.join(5)
        _end_terminals(home)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody uses right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def _read(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)


def _wait_for_link(process: subprocess.Popen[str], lines: list[str]) -> tuple[str, str]:
    ends_at = time.monotonic() + START_S
    while time.monotonic() < ends_at and process.poll() is None:
        if match := _LINK.search("".join(lines)):
            return match[1], match[2]
        time.sleep(0.05)
    raise AssertionError("the node printed no login link:\n" + "".join(lines))


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_terminals(home: Path) -> None:
    """End the tmux server of the node, which outlives it on purpose."""
    from p2p.protocol.identity import Identity

    if (home / "identity.pem").exists():
        node_id = Identity.load_or_create(home / "identity.pem").node_id
        end_terminals(TmuxServer(f"voidlux-{node_id[:12]}"))
