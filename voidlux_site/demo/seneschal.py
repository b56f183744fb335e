"""The demo's Seneschal: the one address of a swarm, a process with a home and ports of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx

from swarm.clean_env import clean_environment
from voidlux_site.demo.bound import start_bound, tail_of
from voidlux_site.demo.client import Json
from voidlux_site.demo.failures import NodeDied
from voidlux_site.home import logs_dir
from voidlux_site.node.processes import kill_tree

NAME = "seneschal"
ANSWER_WITHIN_S = 5.0


class SeneschalProcess:
    """One Seneschal before a swarm's members."""

    def __init__(self, swarm: str, folder: Path, host: str, ports: tuple[int, int]) -> None:
        """Make the home; nothing is started yet."""
        self.swarm = swarm
        self.home = folder / NAME
        self.log_path = logs_dir(self.home) / "seneschal.log"
        self.log_path.parent.mkdir(parents=True)
        self.home.chmod(0o700)
        self._host = host
        self._p2p_port, self._http_port = ports
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address that never changes."""
        return f"http://{self._host}:{self._http_port}"

    @property
    def pid(self) -> int | None:
        """The process id, None when it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, *, seeds: str, secret: str, network: str, settings: Mapping[str, str]) -> None:
        """Start `manage.py runseneschal`."""
        variables = {
            "VOIDLUX_HOME": str(self.home),
            "VOIDLUX_HOST": self._host,
            "VOIDLUX_P2P_PORT": str(self._p2p_port),
            "VOIDLUX_HTTP_PORT": str(self._http_port),
            "VOIDLUX_SWARM": self.swarm,
            "VOIDLUX_NETWORK": network,
            "VOIDLUX_AUTH_SECRET": secret,
            "VOIDLUX_SEEDS": seeds,
            "PYTHONUNBUFFERED": "1",
        }
        environment = clean_environment({**variables, **settings})
        self._process = start_bound("runseneschal", environment=environment, log_path=self.log_path)

    def health(self) -> Json:
        """Return what it says of itself; empty while it does not answer."""
        with suppress(httpx.HTTPError, ValueError):
            answer = httpx.get(
                f"{self.url}/seneschal/health", timeout=ANSWER_WITHIN_S, trust_env=False
            )
            told: Json = answer.json()
            return told
        return {}

    def require_alive(self) -> None:
        """Raise NodeDied when the process has ended by itself."""
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            raise NodeDied(NAME, code, tail_of(self.log_path))

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def finish(self, deadline_s: float) -> str | None:
        """Wait for the end until the monotonic `deadline_s`; returns what went wrong, or None."""
        if self._process is None:
            return None
        try:
            code = self._process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            kill_tree(self._process.pid)
            self._process.wait()
            return "the Seneschal did not end in time and was killed"
        return f"the Seneschal ended with {code}" if code else None
