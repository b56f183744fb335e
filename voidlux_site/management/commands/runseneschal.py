"""`manage.py runseneschal`: a proxy whose address never changes, in front of the emperor."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from p2p import registration
from p2p.local import local_node
from p2p.mesh.tls import Tls
from p2p.protocol.errors import DomainError
from p2p.protocol.registry import MessageRegistry
from swarm.replication.messages import ElectionVictory, EmperorHeartbeat
from voidlux_site.node.lock import HomeLock

EXIT_CANNOT_START = 2
STOP_WITHIN_S = 2.0  # what then still hangs is cut off; the process needs a moment to end


class Command(BaseCommand):
    """Runs the Seneschal of VOIDLUX_HOME."""

    help = (
        "Run a reverse proxy that follows the emperor of a swarm: one address for browsers and "
        "tools, whoever leads. It joins the mesh as a member (VOIDLUX_SEEDS, VOIDLUX_AUTH_SECRET) "
        "and stores nothing but its key. Runs until Ctrl-C or SIGTERM; see docs/seneschal.md."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the ports, which manage.py has read already: the home is named after one."""
        parser.add_argument("--http-port", help="port for browsers (VOIDLUX_HTTP_PORT, 9090)")
        parser.add_argument("--p2p-port", help="port for nodes (VOIDLUX_P2P_PORT, 7100)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped; exit code 2 with one line where it cannot start."""
        if not settings.ENVIRONMENT.auth_secret.get_secret_value():
            self._refuse(
                "VOIDLUX_AUTH_SECRET is not set: without the swarm's secret nobody tells this "
                "Seneschal who is emperor"
            )
        lock = HomeLock(settings.ENVIRONMENT.home)
        try:
            lock.acquire()
            gc.freeze()  # all that Django loaded stays: no collection needs to look at it again
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._run())
        except (DomainError, OSError) as error:
            self._refuse(str(error))
        finally:
            lock.release()

    async def _run(self) -> None:
        # Imported late: Daphne, which `django.setup` imports, must not wait for aiohttp.
        from voidlux_site.seneschal.proxy import Manners
        from voidlux_site.seneschal.service import Seneschal

        environment = settings.ENVIRONMENT
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        seneschal = Seneschal(
            self._following(),
            Manners(
                hold_s=environment.seneschal_hold_s,
                held_max=environment.seneschal_held_max,
                trusted=environment.trusted_proxies,
            ),
        )
        try:
            p2p_port, http_port = await seneschal.start(environment.host, environment.http_port)
            host = f"[{environment.host}]" if ":" in environment.host else environment.host
            self._say(
                f"Seneschal {local_node().node_id[:8]} of swarm {environment.swarm} at "
                f"http://{host}:{http_port}, mesh at {host}:{p2p_port}"
            )
            self._say("no emperor yet")
            await stop.wait()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_WITHIN_S):
                    await seneschal.stop()

    def _following(self) -> Any:
        from voidlux_site.seneschal.following import Following, Place

        environment, node = settings.ENVIRONMENT, local_node()
        return Following(
            identity=node.identity,
            place=Place(
                network=node.network,
                swarm=node.swarm,
                secret=environment.auth_secret.get_secret_value(),
                host=environment.host,
                p2p_port=environment.p2p_port,
                http_port=environment.http_port,
                seeds=environment.seeds,
            ),
            registry=_registry(),
            stale_s=environment.emperor_stale_s,
            say=self._say,
            tls=Tls.of(node.identity) if environment.mesh_tls == "on" else None,
        )

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _refuse(self, line: str) -> None:
        self.stderr.write(line)
        sys.stderr.flush()
        os._exit(EXIT_CANNOT_START)


def _registry() -> MessageRegistry:
    """Return all messages of the mesh: what the Seneschal does not need it hands on."""
    registry = MessageRegistry()
    registry.register(*registration.registry.classes, ElectionVictory, EmperorHeartbeat)
    return registry


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
