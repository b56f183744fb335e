"""A node as three processes that share PostgreSQL and Redis: node, worker and web."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.nodes import HOST, ROOT, STOP_S, RealNode

RUNNODE = (sys.executable, "manage.py", "runnode", "--no-web", "--no-worker")
VENV_PROGRAMS = Path(sys.executable).parent


class SplitNode(RealNode):
    """A real node whose web server and worker are processes of their own."""

    def __init__(self, home: Path, *, database_url: str, redis_url: str, **variables: str) -> None:
        super().__init__(home, **variables)
        self.database_url, self.redis_url = database_url, redis_url
        self.parts: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self) -> dict[str, str]:
        """Return all variables that its processes get."""
        urls = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}
        return {**super().environment(), **urls}

    def launch(self) -> None:
        """Start all three processes without waiting for them."""
        self.launch_part("node", *RUNNODE)
        self.process = self.parts["node"]
        self.launch_worker()
        self.launch_part(
            "web",
            *(str(VENV_PROGRAMS / "daphne"), "-b", HOST, "-p", str(self.http_port)),
            "voidlux_site.asgi:application",
        )

    def launch_worker(self) -> None:
        """Start a worker on this node's queue, as an operator does."""
        self.launch_part(
            "worker",
            *(sys.executable, "-m", "celery", "-A", "voidlux_site", "worker"),
            *("--pool", "threads", "--concurrency", "4", "--loglevel", "INFO"),
        )

    def launch_part(self, name: str, *command: str) -> None:
        """Start one process of the node; its output goes to `<name>.log` in the home."""
        with (self.home / f"{name}.log").open("ab") as log:
            self.parts[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill_part(self, name: str) -> None:
        """End one process as a crash does."""
        self.parts[name].kill()
        self.parts[name].wait()

    def is_up(self) -> bool:
        """Tell whether the web answers and the node has said that it runs."""
        return self.is_healthy() and "VoidLux node" in self.log()

    def end(self) -> None:
        """End whatever is left, the web and the worker politely first."""
        for part in self.parts.values():
            if part.poll() is None:
                os.kill(part.pid, signal.SIGTERM)
        for part in self.parts.values():
            try:
                part.wait(STOP_S)
            except subprocess.TimeoutExpired:
                part.kill()
                part.wait()
        super().end()
