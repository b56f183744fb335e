"""`manage.py status`: the running node in one look, live on a terminal."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.live import Live

from p2p.protocol.errors import VoidLuxError
from voidlux_site.demo.client import Json, NodeClient
from voidlux_site.demo.local import names_at, running_node
from voidlux_site.demo.overview import overview

LOOK_EVERY_S = 1.0
GOALS_SHOWN = 5
PIPE_COLUMNS = 160
EXIT_INTERRUPTED = 130


class Command(BaseCommand):
    """Shows node, goals, agents, peers and offerings of this home's node."""

    help = (
        "Show the running node of VOIDLUX_HOME: its goals with their subtasks, agents, peers and "
        "what is for sale. On a terminal the picture is renewed every second until Ctrl-C; in a "
        "pipe, and with --once, it is printed once."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print everything once as JSON")
        parser.add_argument("--once", action="store_true", help="print once and return")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print, or keep showing; a node that stops answering ends it with one line."""
        api = running_node()
        try:
            if options["json"]:
                self.stdout.write(json.dumps(read_state(api), indent=2))
            else:
                _show(api, once=options["once"] or not sys.stdout.isatty())
        except VoidLuxError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)
        finally:
            api.close()


def read_state(api: NodeClient) -> Json:
    """Return what the node says of itself: the newest goals with subtasks, agents, peers, trade."""
    goals = api.get("/tasks", parent="none", limit=GOALS_SHOWN)["items"]
    return {
        "node": api.get("/status"),
        "goals": [
            {**goal, "subtasks": api.items(f"/tasks/{goal['id']}/subtasks")} for goal in goals
        ],
        "agents": api.items("/agents"),
        "peers": api.items("/peers"),
        "offerings": api.items("/offerings"),
        "tributes": api.get("/tributes", limit=GOALS_SHOWN)["items"],
    }


def _show(api: NodeClient, *, once: bool) -> None:
    names = names_at(api)
    if once:
        width = None if sys.stdout.isatty() else PIPE_COLUMNS
        Console(highlight=False, width=width).print(overview(read_state(api), names))
        return
    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        while True:
            live.update(overview(read_state(api), names), refresh=True)
            time.sleep(LOOK_EVERY_S)
