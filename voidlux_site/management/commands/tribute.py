"""`manage.py tribute`: agreements of the running node in which it buys or sells."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table
from rich.text import Text

from p2p.protocol.errors import VoidLuxError
from voidlux_site.demo.client import Json, NodeClient
from voidlux_site.demo.local import running_node

PIPE_COLUMNS = 200
STATUSES = ("pending", "accepted", "rejected", "expired", "cancelled", "completed", "failed")

Act = Callable[[NodeClient, Json], list[Json]]


class Command(BaseCommand):
    """Lists, shows, requests, accepts, rejects and cancels tributes over the API."""

    help = (
        "Tributes of the running node of VOIDLUX_HOME. Without an action they are listed, newest "
        "first. `request` buys executions of an offering for a goal, `accept` and `reject` decide "
        "on requests that wait for this node, `cancel` takes back what the rules allow (see "
        "docs/marketplace.md)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the actions."""
        parser.set_defaults(act=_list, status="")
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
        below = parser.add_subparsers(metavar="ACTION")
        each = _action(below, "list", _list, "list the tributes (the default)")
        each.add_argument("--status", choices=STATUSES, default="", help="only these")
        each = _action(below, "show", _show, "show a tribute with its executions")
        each.add_argument("tribute", help="its id")
        each = _action(below, "request", _request, "buy executions for a goal of this node")
        each.add_argument("offering", help="the offering's id")
        each.add_argument("goal", help="the goal's id")
        each.add_argument("--count", type=int, default=1, help="executions (default: 1)")
        each = _action(below, "accept", _accept, "accept a request that waits for this node")
        each.add_argument("tribute", help="its id")
        each.add_argument(
            "--remember", action="store_true", help="accept its buyer without asking from now on"
        )
        each = _action(below, "reject", _reject, "reject a request that waits for this node")
        each.add_argument("tribute", help="its id")
        each.add_argument("--reason", default="", help="told to the buyer")
        each = _action(below, "cancel", _cancel, "take back what the rules allow")
        each.add_argument("tribute", help="its id")
        each.add_argument("--reason", default="", help="told to the other side")
        each.add_argument("--task", action="append", default=[], help="only this task's execution")

    def handle(self, *args: Any, **options: Any) -> None:
        """Act and print; refusals are one line."""
        act: Act = options["act"]
        api = running_node()
        try:
            rows = act(api, options)
        except VoidLuxError as error:
            raise CommandError(str(error)) from error
        finally:
            api.close()
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        width = None if sys.stdout.isatty() else PIPE_COLUMNS
        console = Console(width=width, highlight=False)
        console.print(_table(rows))
        if act is _show:
            console.print(_execution_table(rows[0]["executions"]))


def _action(below: Any, name: str, act: Act, text: str) -> CommandParser:
    parser: CommandParser = below.add_parser(name, help=text)
    parser.set_defaults(act=act)
    parser.add_argument("--json", action="store_true", default=False, help="print JSON")
    return parser


def _list(api: NodeClient, options: Json) -> list[Json]:
    wanted = {"status": options["status"]} if options["status"] else {}
    return api.items("/tributes", **wanted)


def _show(api: NodeClient, options: Json) -> list[Json]:
    return [api.get(f"/tributes/{options['tribute']}")]


def _request(api: NodeClient, options: Json) -> list[Json]:
    body = {
        "offering_id": options["offering"],
        "goal_id": options["goal"],
        "task_count": options["count"],
    }
    return [api.post("/tributes", body)]


def _accept(api: NodeClient, options: Json) -> list[Json]:
    body = {"remember": options["remember"]}
    return [api.post(f"/tributes/{options['tribute']}/accept", body)]


def _reject(api: NodeClient, options: Json) -> list[Json]:
    return [api.post(f"/tributes/{options['tribute']}/reject", _reason(options))]


def _cancel(api: NodeClient, options: Json) -> list[Json]:
    body = {**_reason(options), "task_ids": options["task"]}
    return [api.post(f"/tributes/{options['tribute']}/cancel", body)]


def _reason(options: Json) -> Json:
    return {"reason": options["reason"]} if options["reason"] else {}


def _table(rows: list[Json]) -> Table:
    table = _columns("tribute", "status", "buyer", "seller", "tasks", "VOID", "policy", "reason")
    for row in rows:
        cells = (
            *(row["id"], row["status"], row["from_node_id"][:8], row["to_node_id"][:8]),
            *(str(row["task_count"]), str(row["total_cost"]), row["policy"], row["reason"]),
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _execution_table(rows: list[Json]) -> Table:
    table = _columns("task", "run", "title", "status", "commit", "payment", "reason")
    for row in rows:
        cells = (
            *(row["task_id"], str(row["run"]), row["title"], row["status"]),
            *(row["commit"][:12], row["payment"] or "none", row["reason"]),
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _columns(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
