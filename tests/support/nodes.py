"""Real nodes for tests: `manage.py runnode` with a home, ports and an environment of its own.

A `RealNode` may be killed, paused and started again in the same home; whatever a test does to
it, `end` leaves no process of it behind.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from p2p.protocol.identity import Identity
from tests.support.waiting import is_alive

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
START_S = 60.0
STOP_S = 20.0
REQUEST_S = 10.0
DATABASE = "voidlux.sqlite3"


class RealNode:
    """A node in a home of its own; `variables` are VOIDLUX_* in lower case without the prefix.

    Without `worker` it runs no jobs, and starts in half the time.
    """

    def __init__(self, home: Path, *, worker: bool = True, **variables: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / DATABASE).exists():
            # The tables of a new home, which each node would make with the same result.
            shutil.copy(_migrated_database(), home / DATABASE)
        self.home = home
        self.node_id = Identity.load_or_create(home / "identity.pem").node_id
        self.host = HOST
        self.p2p_port, self.http_port = free_ports(2)
        self.variables = variables
        self.has_worker = worker
        self.process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None

    @property
    def address(self) -> str:
        """Where its mesh listens, as VOIDLUX_SEEDS takes it."""
        return f"{self.host}:{self.p2p_port}"

    @property
    def pid(self) -> int:
        """The pid of the process that was started last."""
        assert self.process is not None, "the node was never started"
        return self.process.pid

    @property
    def api(self) -> httpx.Client:
        """A client of `/api/swarm` with the node's token, for tests of status and headers."""
        if self._client is None:
            token = (self.home / "api-token").read_text().strip()
            self._client = httpx.Client(
                base_url=f"http://{self.host}:{self.http_port}/api/swarm",
                headers={"Authorization": f"Bearer {token}"},
                timeout=REQUEST_S,
            )
        return self._client

    def get(self, path: str) -> Any:
        """Return the JSON that the API answers to a GET."""
        return self.api.get(path).raise_for_status().json()

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return all rows of a list, page by page."""
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            url = httpx.URL(path).copy_merge_params({"limit": 200, "cursor": cursor})
            body = self.get(str(url))
            rows += body["items"]
            cursor = body["next_cursor"]
            if not cursor:
                return rows

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the JSON that the API answers to a POST."""
        return self.api.post(path, json=body or {}).raise_for_status().json()

    def log(self) -> str:
        """Return what the node wrote so far, over all its lives."""
        return (self.home / "node.log").read_text(errors="replace")

    def launch(self) -> None:
        """Start the process without waiting for it."""
        assert self.process is None or self.process.poll() is not None, "the node runs already"
        with (self.home / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> RealNode:
        """Start the process and wait until its API answers."""
        self.launch()
        self.wait_until_healthy()
        return self

    def command(self) -> list[str]:
        """Return the command line of its process."""
        return [
            sys.executable,
            "manage.py",
            "runnode",
            *(() if self.has_worker else ("--no-worker",)),
        ]

    def environment(self) -> dict[str, str]:
        """Return all variables that its process gets: nothing of the tests' own."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONFAULTHANDLER": "1",  # a crash of an extension says where
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "VOIDLUX_HOME": str(self.home),
            "VOIDLUX_P2P_PORT": str(self.p2p_port),
            "VOIDLUX_HTTP_PORT": str(self.http_port),
            **{f"VOIDLUX_{name.upper()}": value for name, value in self.variables.items()},
        }

    def is_healthy(self) -> bool:
        """Tell whether the API answers; AssertionError with the log when the process ended."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended with {self.process.returncode}:\n{self.log()}")
        url = f"http://{self.host}:{self.http_port}/api/swarm/health"
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(url, timeout=REQUEST_S).json() == {"status": "ok"}
        return False

    def wait_until_healthy(self) -> None:
        """Wait until the API answers; AssertionError with the log after START_S."""
        if not _came_true(self.is_healthy, START_S):
            raise AssertionError(f"the node is not healthy after {START_S} s:\n{self.log()}")

    def kill9(self) -> None:
        """End the node's process as a crash does: at once, without a goodbye."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._forget_connections()

    def crash(self) -> None:
        """Kill node, worker and all that they run, at once; terminals and remotes go on.

        What already serves a push at a remote on this machine would be elsewhere in real life.
        """
        doomed = _tree(self.pid, leaving="receive-pack")
        for number in (signal.SIGSTOP, signal.SIGKILL):  # so that no part sees another one die
            for pid in doomed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        assert self.process is not None
        self.process.wait()
        self._forget_connections()

    def stop(self, number: signal.Signals = signal.SIGTERM, within_s: float = STOP_S) -> int:
        """End the node as an operator does and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end within {within_s} s:\n{self.log()}") from None
        finally:
            self._forget_connections()

    def pause(self) -> None:
        """Freeze the node and its worker, as a machine that is suspended."""
        for pid in _tree(self.pid):
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused node go on."""
        for pid in reversed(_tree(self.pid)):
            os.kill(pid, signal.SIGCONT)

    def worker_pid(self) -> int | None:
        """Return the pid of the Celery worker that the node started, None between two lives."""
        for pid in _children(self.pid):
            if "celery" in _command_line(pid):
                return pid
        return None

    def kill_worker(self) -> None:
        """End the Celery worker as a crash does."""
        pid = self.worker_pid()
        assert pid is not None, "there is no worker"
        os.kill(pid, signal.SIGKILL)

    def processes(self) -> dict[int, str]:
        """Return pid and command line of everything of this home outside its terminals."""
        mark = str(self.home)
        pids = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
        pids -= set(self.terminal_processes())
        return {pid: _command_line(pid) for pid in sorted(pids) if _belongs(pid, mark)}

    def terminal_processes(self) -> list[int]:
        """Return the pids of the node's tmux server and of all that runs in it."""
        shown = self._tmux("display-message", "-p", "#{pid}")
        return _tree(int(shown.stdout)) if shown.returncode == 0 else []

    def sessions(self) -> set[str]:
        """Return the names of the node's tmux sessions."""
        listed = self._tmux("list-sessions", "-F", "#{session_name}")
        return set(listed.stdout.split()) if listed.returncode == 0 else set()

    def end(self) -> None:
        """End whatever is left of the node, paused or not, with its terminals and their runs."""
        self._forget_connections()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._tmux("kill-server")
        if not _came_true(self._kill_rest, STOP_S):
            raise AssertionError(f"processes are left: {self.processes()}")

    def _kill_rest(self) -> bool:
        rest = self.processes()
        for pid in rest:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not rest

    def _tmux(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        socket_name = f"voidlux-{self.node_id[:12]}"
        return subprocess.run(
            ["tmux", "-L", socket_name, *arguments], capture_output=True, text=True, check=False
        )

    def _forget_connections(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


RunningNode = RealNode


def start_all(*nodes: RealNode) -> None:
    """Start nodes at the same time and wait until every one of them is healthy."""
    for node in nodes:
        node.launch()
    for node in nodes:
        node.wait_until_healthy()


@contextlib.contextmanager
def running_node(home: Path, *, worker: bool = True, **variables: str) -> Iterator[RealNode]:
    """Run a node in `home` until the block ends, which it must survive and end well."""
    node = RealNode(home, worker=worker, **variables)
    try:
        yield node.start()
        assert node.process is not None
        if node.process.poll() is None:
            code = node.stop()
            assert code == 0, f"the node ended with {code}:\n{node.log()}"
    finally:
        node.end()


@cache
def _migrated_database() -> Path:
    """Return a database with all tables and no rows, made once for all nodes of this process."""
    folder = Path(tempfile.mkdtemp(prefix="voidlux-tables-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environment = {"PATH": os.environ["PATH"], "VOIDLUX_HOME": str(folder)}
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return folder / DATABASE


def free_ports(count: int) -> list[int]:
    """Return TCP ports of the loopback that nobody uses at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def _came_true(condition: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _tree(pid: int, leaving: str = "") -> list[int]:
    """Return a process and all below it, but for those with a word in their command line."""
    tree = [pid]
    for each in tree:
        below = _children(each)
        tree.extend(one for one in below if not leaving or leaving not in _command_line(one))
    return tree


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _command_line(pid: int) -> str:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode("utf-8", "replace")


def _belongs(pid: int, home: str) -> bool:
    """Tell by environment, folder or arguments whether a live process is of this home."""
    if not is_alive(pid) or pid == os.getpid():
        return False
    with contextlib.suppress(OSError):
        if f"VOIDLUX_HOME={home}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes() + b"\0":
            return True
        if f"{Path(f'/proc/{pid}/cwd').readlink()}/".startswith(f"{home}/"):
            return True
    return home in _command_line(pid)
