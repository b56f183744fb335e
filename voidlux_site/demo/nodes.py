"""The demo's nodes: real processes with homes of their own, ended by their ids."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from p2p.protocol.errors import ExternalError
from p2p.protocol.identity import Identity
from swarm.clean_env import clean_environment
from voidlux_site.demo.bound import PROJECT_DIR, manage_command, start_bound, tail_of
from voidlux_site.demo.client import NodeClient
from voidlux_site.demo.failures import NodeDied
from voidlux_site.demo.repository import HERMETIC_GIT
from voidlux_site.demo.seneschal import SeneschalProcess
from voidlux_site.demo.terminals import end_terminals, kill_terminals
from voidlux_site.home import API_TOKEN_FILE, TOKEN_BYTES, logs_dir, write_once
from voidlux_site.node.processes import kill_tree
from voidlux_site.swarm_keys import API_TOKEN, swarm_key

HOST = "127.0.0.1"
NETWORK = "demo"
STOP_WITHIN_S = 20.0
COMMAND_TIMEOUT_S = 30.0
# Long enough for the agents that begin together, so that their work is judged in one batch.
BATCH_WAIT_S = 4.0


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
    settings: Mapping[str, str] = field(default_factory=dict)

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
        self._launch()

    def start_again(self) -> None:
        """Start a node that was killed on the home that it left."""
        self._crashed = False
        self._launch()

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
        kill_terminals(self.node_id, self._tmux_dir)
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
        return tail_of(self.log_path)

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `manage.py` in the node's environment, whether it runs or not."""
        return subprocess.run(
            manage_command(*arguments),
            cwd=PROJECT_DIR,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    def login_link(self, at: str = "") -> str:
        """Return a new one-time login link, made by the node's own command; `at` another URL."""
        done = self.manage("loginlink", *(("--at", at) if at else ()))
        if done.returncode != 0:
            raise ExternalError(f"loginlink failed: {done.stderr.strip()[-300:]}", retryable=False)
        return done.stdout.strip().splitlines()[-1]

    def begin(self, *command: str) -> subprocess.Popen[str]:
        """Start `manage.py` with a command in the node's environment; the caller ends it."""
        return subprocess.Popen(
            manage_command(*command),
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
        end_terminals(self.node_id, self._tmux_dir)
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

    def _launch(self) -> None:
        self._process = start_bound(
            "runnode", environment=self._environment, log_path=self.log_path
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
            **plan.settings,
        }
        return clean_environment({**settings, **HERMETIC_GIT})


class Nodes:
    """The nodes of the demo as one: started together, watched, and always stopped.

    `seneschal` is the one address of a swarm of them, where they were given one.
    """

    def __init__(self, plans: Sequence[NodePlan], folder: Path, *, seneschal_of: str = "") -> None:
        """Prepare the homes; the first plan is the buyer's and the others serve it."""
        ports = free_ports(2 * len(plans) + 2)
        pairs = list(zip(ports[::2], ports[1::2], strict=True))
        self.all = [
            NodeProcess(plan, folder, pair) for plan, pair in zip(plans, pairs[1:], strict=True)
        ]
        self.seneschal = (
            SeneschalProcess(seneschal_of, folder, HOST, pairs[0]) if seneschal_of else None
        )
        self.buyer, *others = self.all
        self.sellers = [node for node in others if node.plan.knows_buyer]
        self.strangers = [node for node in others if not node.plan.knows_buyer]
        self._secrets = {node.plan.swarm: secrets.token_urlsafe(TOKEN_BYTES) for node in self.all}

    @property
    def running(self) -> list[NodeProcess]:
        """Those that were not killed on purpose."""
        return [node for node in self.all if not node.is_crashed]

    @property
    def members(self) -> list[NodeProcess]:
        """Those behind the Seneschal."""
        swarm = self.seneschal.swarm if self.seneschal is not None else None
        return [node for node in self.all if node.plan.swarm == swarm]

    def start(self) -> None:
        """Start all processes; all find the buyer by its address, and the sellers know its id."""
        for node in self.all:
            self.start_node(node)
        self.start_seneschal()

    def start_node(self, node: NodeProcess) -> None:
        """Start one node."""
        sells = node in self.sellers
        node.start(
            seeds="" if node is self.buyer else f"{HOST}:{self.buyer.p2p_port}",
            allow_nodes=self.buyer.node_id if sells else "",
            secret=self._secrets[node.plan.swarm],
        )

    def start_seneschal(self) -> None:
        """Start the Seneschal where there is one: it finds the swarm by its first two members."""
        if self.seneschal is not None:
            first = self.members[:2]
            self.seneschal.start(
                seeds=",".join(f"{HOST}:{node.p2p_port}" for node in first),
                secret=self._secrets[self.seneschal.swarm],
                network=NETWORK,
                settings=first[0].plan.settings,
            )

    def address_api(self) -> NodeClient:
        """Return a client of the swarm's one address; the caller closes it."""
        if self.seneschal is None:
            raise ExternalError("there is no Seneschal", retryable=False)
        swarm = self.seneschal.swarm
        secret = self._secrets[swarm]
        token = swarm_key(API_TOKEN, secret=secret, network=NETWORK, swarm=swarm)
        return NodeClient(self.seneschal.url, token)

    def require_alive(self) -> None:
        """Raise NodeDied when one of them has ended by itself."""
        for each in self._processes:
            each.require_alive()

    def stop(self) -> list[str]:
        """End every node and its terminals; returns what did not go as it should."""
        for each in self._processes:
            each.ask_to_stop()
        deadline_s = time.monotonic() + STOP_WITHIN_S
        troubles = [each.finish(deadline_s) for each in self._processes]
        return [trouble for trouble in troubles if trouble is not None]

    @property
    def _processes(self) -> list[NodeProcess | SeneschalProcess]:
        return [*self.all, *([self.seneschal] if self.seneschal is not None else [])]


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on, all different."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
