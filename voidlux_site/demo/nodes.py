"""The demo's nodes: real processes with homes of their own, ended by their ids."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from p2p.protocol.errors import ExternalError
from p2p.protocol.identity import Identity
from swarm.clean_env import clean_environment
from voidlux_site.demo.client import NodeClient
from voidlux_site.demo.repository import HERMETIC_GIT
from voidlux_site.home import API_TOKEN_FILE, TOKEN_BYTES, logs_dir, write_once
from voidlux_site.node.processes import kill_tree
from voidlux_site.swarm_keys import API_TOKEN, swarm_key

PROJECT_DIR = Path(__file__).resolve().parents[2]
BOUND_EXEC = PROJECT_DIR / "voidlux_site" / "node" / "bound_exec.py"
HOST = "127.0.0.1"
NETWORK = "demo"
STOP_WITHIN_S = 20.0
COMMAND_TIMEOUT_S = 30.0
LOG_LINES_SHOWN = 15
# Long enough for the agents that begin together, so that their work is judged in one batch.
BATCH_WAIT_S = 4.0


class NodeDied(ExternalError):
    """A node process ended by itself; the message carries the end of its log."""

    def __init__(self, name: str, code: int, tail: str) -> None:
        """Take the node's name, its exit code and the last lines of its log."""
        super().__init__(f"node {name} ended with {code}; its log ends:\n{tail}", retryable=False)


@dataclass(frozen=True, kw_only=True)
class NodePlan:
    """What is known of a node before it starts: its part in the story and its settings."""

    name: str
    part: str
    swarm: str
    agents: int
    role: str = "emperor"
    price: int = 0
    batch_wait_s: float = BATCH_WAIT_S
    knows_buyer: bool = True
    offering_ttl_s: int = 300

    @property
    def sells(self) -> bool:
        """Whether the node offers its idle agents."""
        return self.price > 0


class NodeProcess:
    """One node: its home, its ports, its process and a client `api` of its REST API."""

    def __init__(self, plan: NodePlan, folder: Path, ports: tuple[int, int]) -> None:
        """Make the home with identity and API token; nothing is started yet."""
        self.plan = plan
        self.home = folder / plan.name
        self.p2p_port, self.http_port = ports
        self.log_path = logs_dir(self.home) / "node.log"
        self.log_path.parent.mkdir(parents=True)
        self.home.chmod(0o700)
        self.node_id = Identity.load_or_create(self.home / "identity.pem").node_id
        # Short: the path of a Unix socket has room for about a hundred characters.
        self._tmux_dir = folder / "t"
        self._tmux_dir.mkdir(mode=0o700, exist_ok=True)
        self._environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._crashed = False
        token = secrets.token_urlsafe(TOKEN_BYTES)
        write_once(self.home / API_TOKEN_FILE, token)
        self.api = NodeClient(f"http://{HOST}:{self.http_port}", token)

    @property
    def url(self) -> str:
        """The base URL of the node's web server."""
        return self.api.url

    @property
    def pid(self) -> int | None:
        """The node's process id, None when it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, *, seeds: str, allow_nodes: str, secret: str) -> None:
        """Start `manage.py runnode` in a session and an environment of its own."""
        self._environment = self._settings(seeds, allow_nodes, secret)
        if secret:
            self.api.use_token(
                swarm_key(API_TOKEN, secret=secret, network=NETWORK, swarm=self.plan.swarm)
            )
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                # Bound to the demo: a demo that is killed leaves no node behind.
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(BOUND_EXEC),
                    str(os.getpid()),
                    *_manage("runnode"),
                ],
                cwd=PROJECT_DIR,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_ready(self) -> bool:
        """Tell whether the node serves its API; NodeDied if it has ended."""
        self.require_alive()
        return self.api.is_healthy()

    def crash(self) -> int:
        """Kill the node with all its processes, as a power cut would; returns the pid it had."""
        pid = self.pid
        if self._process is None or pid is None:
            raise ExternalError(f"node {self.plan.name} does not run", retryable=False)
        self._crashed = True
        kill_tree(pid)
        self._process.wait()
        return pid

    @property
    def is_crashed(self) -> bool:
        """Whether the node was killed on purpose."""
        return self._crashed

    def require_alive(self) -> None:
        """Raise NodeDied when the process has ended by itself."""
        if self._crashed:
            return
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            raise NodeDied(self.plan.name, code, self.log_tail())

    def log_tail(self) -> str:
        """Return the last lines of the node's log."""
        lines = self.log_path.read_text("utf-8", "replace").splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `manage.py` in the node's environment, whether it runs or not."""
        return subprocess.run(
            _manage(*arguments),
            cwd=PROJECT_DIR,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    def login_link(self) -> str:
        """Return a new one-time login link, made by the node's own command."""
        done = self.manage("loginlink")
        if done.returncode != 0:
            raise ExternalError(f"loginlink failed: {done.stderr.strip()[-300:]}", retryable=False)
        return done.stdout.strip().splitlines()[-1]

    def begin(self, *command: str) -> subprocess.Popen[str]:
        """Start `manage.py` with a command in the node's environment; the caller ends it."""
        return subprocess.Popen(
            _manage(*command),
            cwd=PROJECT_DIR,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the node's process."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def finish(self, deadline_s: float) -> str | None:
        """Wait for the end until the monotonic `deadline_s`; returns what went wrong, or None."""
        trouble = self._wait(deadline_s)
        self.api.close()
        self._end_terminals()
        return trouble

    def _wait(self, deadline_s: float) -> str | None:
        if self._process is None or self._crashed:
            return None
        try:
            code = self._process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            kill_tree(self._process.pid)
            self._process.wait()
            return f"{self.plan.name} did not end within {STOP_WITHIN_S:g} s and was killed"
        return f"{self.plan.name} ended with {code}" if code else None

    def _end_terminals(self) -> None:
        # Sessions outlive their node on purpose; after the demo there is nobody to come back.
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                ["tmux", "-L", f"voidlux-{self.node_id[:12]}", "-f", "/dev/null", "kill-server"],
                env=clean_environment({"TMUX_TMPDIR": str(self._tmux_dir)}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
            )

    def _settings(self, seeds: str, allow_nodes: str, secret: str) -> dict[str, str]:
        plan = self.plan
        settings = {
            "VOIDLUX_HOME": str(self.home),
            "VOIDLUX_HOST": HOST,
            "VOIDLUX_P2P_PORT": str(self.p2p_port),
            "VOIDLUX_HTTP_PORT": str(self.http_port),
            "VOIDLUX_SWARM": plan.swarm,
            "VOIDLUX_AUTH_SECRET": secret,
            "VOIDLUX_NETWORK": NETWORK,
            "VOIDLUX_ROLE": plan.role,
            "VOIDLUX_AGENTS": str(plan.agents),
            "VOIDLUX_SEEDS": seeds,
            "VOIDLUX_SELL": "on" if plan.sells else "off",
            "VOIDLUX_PRICE_PER_TASK": str(plan.price),
            "VOIDLUX_OFFERING_TTL_S": str(plan.offering_ttl_s),
            "VOIDLUX_ALLOW_NODES": allow_nodes,
            # In the sandbox where there is one; the demo's own work is safe without.
            "VOIDLUX_BATCH_WAIT_S": f"{plan.batch_wait_s:g}",
            "VOIDLUX_UNSAFE_TEST_WITHOUT_SANDBOX": "1",
            "VOIDLUX_TEST_SANDBOX_PATHS": f"{sys.base_prefix},{sys.prefix}",
            "TMUX_TMPDIR": str(self._tmux_dir),
            "PYTHONUNBUFFERED": "1",
        }
        return clean_environment({**settings, **HERMETIC_GIT})


class Nodes:
    """The nodes of the demo as one: started together, watched, and always stopped."""

    def __init__(self, plans: Sequence[NodePlan], folder: Path) -> None:
        """Prepare the homes; the first plan is the buyer's and the others serve it."""
        ports = free_ports(2 * len(plans))
        pairs = zip(ports[::2], ports[1::2], strict=True)
        self.all = [
            NodeProcess(plan, folder, pair) for plan, pair in zip(plans, pairs, strict=True)
        ]
        self.buyer, *others = self.all
        self.sellers = [node for node in others if node.plan.knows_buyer]
        self.strangers = [node for node in others if not node.plan.knows_buyer]

    @property
    def running(self) -> list[NodeProcess]:
        """Those that were not killed on purpose."""
        return [node for node in self.all if not node.is_crashed]

    def start(self) -> None:
        """Start all processes; all find the buyer by its address, and the sellers know its id."""
        seeds = f"{HOST}:{self.buyer.p2p_port}"
        secrets_of = {node.plan.swarm: secrets.token_urlsafe(TOKEN_BYTES) for node in self.all}
        self.buyer.start(seeds="", allow_nodes="", secret=secrets_of[self.buyer.plan.swarm])
        for node in self.all[1:]:
            node.start(
                seeds=seeds,
                allow_nodes=self.buyer.node_id if node.plan.knows_buyer else "",
                secret=secrets_of[node.plan.swarm],
            )

    def require_alive(self) -> None:
        """Raise NodeDied when one of them has ended by itself."""
        for node in self.all:
            node.require_alive()

    def stop(self) -> list[str]:
        """End every node and its terminals; returns what did not go as it should."""
        for node in self.all:
            node.ask_to_stop()
        deadline_s = time.monotonic() + STOP_WITHIN_S
        troubles = [node.finish(deadline_s) for node in self.all]
        return [trouble for trouble in troubles if trouble is not None]


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on, all different."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _manage(*command: str) -> list[str]:
    return [sys.executable, str(PROJECT_DIR / "manage.py"), *command]
