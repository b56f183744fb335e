"""`manage.py runnode`: one complete node in one process."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from voidlux_site.node.lock import HomeLock

EXIT_CANNOT_START = 2
# Python joins its threads at the end: a view that hangs in one must not keep the node alive.
END_WITHIN_S = 14.0


class Command(BaseCommand):
    """Runs the node of VOIDLUX_HOME: mesh, dashboard, API, agents and a Celery worker."""

    help = (
        "Run the node of VOIDLUX_HOME: mesh, dashboard, REST API, agents and a Celery worker, "
        "until Ctrl-C or SIGTERM. Settings are read from VOIDLUX_* variables (see the README)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what may be left to other processes."""
        parser.add_argument(
            "--no-web", action="store_true", help="serve no HTTP: another process does"
        )
        parser.add_argument(
            "--no-worker", action="store_true", help="start no Celery worker: another one runs"
        )

        parser.add_argument(
            "--role",
            choices=("emperor", "worker"),
            help="part of the node in its swarm, in place of VOIDLUX_ROLE",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped; exit code 2 with one line where the node cannot start."""
        from voidlux_site.node.node import Node, run_until_stopped
        from voidlux_site.node.web import run_in_daphne_loop

        if options["role"]:
            _take_role(options["role"])
        lock = HomeLock(settings.ENVIRONMENT.home)
        try:
            lock.acquire()
            code = run_in_daphne_loop(
                lambda: run_until_stopped(
                    Node(with_web=not options["no_web"], with_worker=not options["no_worker"]),
                    self._announce(with_web=not options["no_web"]),
                    _end_soon,
                )
            )
        except (DomainError, OSError) as error:
            self._refuse(str(error))
        finally:
            lock.release()
        if code:
            sys.exit(code)

    async def _announce(self, *, with_web: bool) -> None:
        from asgiref.sync import sync_to_async

        from voidlux_site.access import new_login_path

        environment, node = settings.ENVIRONMENT, local_node()
        self.stdout.write(
            f"VoidLux node {node.node_id[:8]} of swarm {node.swarm} on network {node.network}, "
            f"mesh at {environment.host}:{environment.p2p_port}"
        )
        if with_web:
            path = await sync_to_async(new_login_path)()
            address = f"http://{_url_host(environment.host)}:{environment.http_port}"
            self.stdout.write(f"Dashboard: {address}{path} (this link works once)")
        self.stdout.flush()

    def _refuse(self, line: str) -> None:
        self.stderr.write(line)
        sys.stderr.flush()
        os._exit(EXIT_CANNOT_START)


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _end_soon() -> None:
    """End the process in END_WITHIN_S seconds whatever still hangs: all that counts is stored."""
    timer = threading.Timer(END_WITHIN_S, os._exit, args=(0,))
    timer.daemon = True
    timer.start()


def _take_role(role: str) -> None:
    """Let this process and the worker that it starts play a part in the swarm."""
    os.environ["VOIDLUX_ROLE"] = role
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"role": role})
