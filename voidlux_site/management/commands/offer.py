"""`manage.py offer`: what the running node sells, and under which policy."""

from __future__ import annotations

import json
import sys
from argparse import BooleanOptionalAction
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table
from rich.text import Text

from p2p.protocol.errors import VoidLuxError
from voidlux_site.demo.client import Json, NodeClient
from voidlux_site.demo.local import running_node

POLICY = "/policies/selling"
HISTORY_SHOWN = 10
_COLUMNS = (
    *("agents_max", "agents_kept", "price_per_task", "capabilities", "hours"),
    *("executions_per_buyer_max", "credit_limit", "acceptance", "requeue", "api_keys"),
)


class Command(BaseCommand):
    """Shows and changes the selling policy over the API of this home's node."""

    help = (
        "What the running node of VOIDLUX_HOME sells. Without an action the policy is shown with "
        "the offering that it comes to now, or why there is none, and its last changes. `on` and "
        "`off` switch selling; both and `set` take the policy's columns as options, and what is "
        "not named stays. Only agents that are idle, healthy and wanted by no own task are ever "
        "offered. Example: `offer on --price 3 --hours 22:00-06:00 --keep 1` sells overnight all "
        "idle agents but one (see docs/marketplace.md)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the actions."""
        parser.set_defaults(act=_show)
        parser.add_argument("--json", action="store_true", help="print JSON")
        below = parser.add_subparsers(metavar="ACTION")
        for name, act, text in (
            ("show", _show, "show policy and offering (the default)"),
            ("on", _on, "sell from now on, also after a restart"),
            ("off", _off, "withdraw the offering and sell no more; running work goes on"),
            ("set", _set, "change the policy, whether selling is on or off"),
        ):
            each = below.add_parser(name, help=text, description=text)
            each.set_defaults(act=act)
            each.add_argument("--json", action="store_true", help="print JSON", default=False)
            if act in (_on, _set):
                _add_columns(each)

    def handle(self, *args: Any, **options: Any) -> None:
        """Act and print; refusals are one line."""
        act: Callable[[NodeClient, Json], Json] = options["act"]
        api = running_node()
        try:
            policy = act(api, options)
            history = _history(api, policy)
        except VoidLuxError as error:
            raise CommandError(str(error)) from error
        finally:
            api.close()
        if options["json"]:
            self.stdout.write(json.dumps({**policy, "history": history}, indent=2))
        elif sys.stdout.isatty():
            _print_rich(policy, history)
        else:
            self.stdout.write("\n".join(_plain(policy, history)))


def _add_columns(parser: CommandParser) -> None:
    parser.add_argument("--price", dest="price_per_task", type=int, help="VOID a task, from 0")
    parser.add_argument("--max", dest="agents_max", type=int, help="sold at once, 1 to 50")
    parser.add_argument("--keep", dest="agents_kept", type=int, help="idle agents kept, 0 to 50")
    parser.add_argument(
        "--capabilities",
        metavar="LIST",
        help="comma list: only agents that can do all of these; '' for all agents",
    )
    parser.add_argument(
        "--hours", help="HH:MM-HH:MM in the node's time zone, over midnight too; '' for always"
    )
    parser.add_argument(
        "--per-buyer",
        dest="executions_per_buyer_max",
        type=int,
        help="unsettled executions of one buyer",
    )
    parser.add_argument("--credit-limit", type=int, help="VOID that one buyer may owe")
    parser.add_argument(
        "--acceptance",
        choices=("auto", "allowlist", "manual"),
        help="whose requests are accepted without asking",
    )
    parser.add_argument(
        "--requeue",
        choices=("accepted_result", "execution"),
        help="what the price covers: one accepted result, or one pushed run",
    )
    parser.add_argument(
        "--api-keys",
        action=BooleanOptionalAction,
        help="the agents run on API keys whose terms allow them to work for others",
    )


def _show(api: NodeClient, options: Json) -> Json:
    return api.get(POLICY)


def _on(api: NodeClient, options: Json) -> Json:
    return api.put(POLICY, {**_changes(options), "selling": True})


def _off(api: NodeClient, options: Json) -> Json:
    return api.put(POLICY, {"selling": False})


def _set(api: NodeClient, options: Json) -> Json:
    changes = _changes(options)
    if not changes:
        raise CommandError("nothing to set: name at least one option, as --price 3")
    return api.put(POLICY, changes)


def _changes(options: Json) -> Json:
    named = {name: options[name] for name in _COLUMNS if options[name] is not None}
    if "capabilities" in named:
        words = named["capabilities"].split(",")
        named["capabilities"] = [word.strip() for word in words if word.strip()]
    return named


def _history(api: NodeClient, policy: Json) -> list[Json]:
    if policy["offering"] is None:
        return []
    shown = api.get(f"/offerings/{policy['offering']['id']}")
    history: list[Json] = shown["history"][:HISTORY_SHOWN]
    return history


def _facts(policy: Json) -> list[tuple[str, str]]:
    offering = policy["offering"]
    now = (
        f"{offering['idle_agents']} agents at {offering['price_per_task']} VOID until "
        f"{offering['expires_at']} ({offering['id']})"
        if offering
        else f"nothing: {policy['explanation'] or 'the agents are looked at'}"
    )
    return [
        ("selling", _word(policy["selling"])),
        ("offered", now),
        *((name, _word(policy[name])) for name in _COLUMNS),
    ]


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(value) or "any"
    return str(value) or "always"


def _event_line(event: Json) -> str:
    reason = f" ({event['reason']})" if event["reason"] else ""
    size = f"{event['idle_agents']} agents at {event['price_per_task']} VOID"
    return f"{event['created_at']} {event['change']}{reason}: {size}"


def _plain(policy: Json, history: list[Json]) -> list[str]:
    return [
        *(f"{name}: {text}" for name, text in _facts(policy)),
        *(f"history: {_event_line(each)}" for each in history),
    ]


def _print_rich(policy: Json, history: list[Json]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text in _facts(policy):
        table.add_row(Text(name, style="bold"), Text(text))
    console = Console(highlight=False)
    console.print(table)
    for each in history:
        console.print(Text(_event_line(each), style="dim"))
