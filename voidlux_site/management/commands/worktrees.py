"""`manage.py worktrees`: what lies in this node's worktrees, and what to do with it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.protocol.errors import VoidLuxError
from swarm.git.upkeep import clones_of
from swarm.worktrees import actions
from swarm.worktrees.api import describe_hook
from swarm.worktrees.listing import describe_place, places
from swarm.worktrees.trust import decisions, distrust

PIPE_COLUMNS = 200
TEXT_SHOWN = 300
EXIT_KEPT = 1

Json = dict[str, Any]


class Command(BaseCommand):
    """Lists, rescues and cleans worktrees; decides on hooks; adds files for new worktrees."""

    help = (
        "Worktrees of the node of VOIDLUX_HOME, whether it runs or not. Without an action they are "
        "listed with task, branch, size, what the remote lacks of them (as of the last fetch) and "
        "rescue refs. `rescue` pushes that to refs/voidlux/rescue/..., `clean` does so and removes "
        "what nobody works in; it ends with 1 where something had to stay. `hooks` shows set-up "
        "and tear-down commands of repositories, `trust` and `distrust` decide on them, `include` "
        "adds a file that new worktrees get (see docs/worktrees.md)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the actions."""
        parser.set_defaults(act=_list)
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
        options: Json = {"action": "store_true", "help": "print JSON", "default": False}
        below = parser.add_subparsers(metavar="ACTION")
        for name, act, text in (
            ("list", _list, "list the worktrees (the default)"),
            ("hooks", _hooks, "list hooks that repositories ask for"),
        ):
            each = below.add_parser(name, help=text)
            each.set_defaults(act=act)
            each.add_argument("--json", **options)
        for name, act, text in (
            ("rescue", _rescue, "push what the remote lacks to rescue refs"),
            ("clean", _clean, "rescue and remove what nobody works in"),
        ):
            each = below.add_parser(name, help=text)
            each.set_defaults(act=act)
            each.add_argument("name", nargs="?", default="", help="folder or branch; default: all")
            each.add_argument("--json", **options)
        for name, act, text in (
            ("trust", _trust, "run a hook from now on; by default the latest of each kind"),
            ("distrust", _distrust, "run hooks no more; by default none of the repository"),
        ):
            each = below.add_parser(name, help=text)
            each.set_defaults(act=act)
            each.add_argument("repository", help="URL, path or id of the repository")
            each.add_argument("--digest", default="", help="the beginning of the hook's digest")
            each.add_argument("--json", **options)
        _add_include(below)

    def handle(self, *args: Any, **options: Any) -> None:
        """Act and print; refusals are one line."""
        act: Callable[[Json], tuple[list[Json], Table | None]] = options["act"]
        try:
            rows, table = act(options)
        except VoidLuxError as error:
            raise CommandError(str(error)) from error
        except OperationalError as error:
            message = f"no node was started in {settings.HOME} yet: {error}"
            raise CommandError(message) from error
        if options["json"] or table is None:
            self.stdout.write(json.dumps(rows, indent=2))
        else:
            width = None if sys.stdout.isatty() else PIPE_COLUMNS
            Console(width=width, highlight=False).print(table)
        if any(row.get("outcome") == "kept" for row in rows):
            sys.exit(EXIT_KEPT)


def _add_include(below: Any) -> None:
    each = below.add_parser("include", help="add a file for new worktrees of a repository")
    each.set_defaults(act=_include)
    each.add_argument("repository", help="URL, path or id of the repository")
    each.add_argument("file", type=Path, help="the file to copy, such as .env")
    each.add_argument("--as", dest="name", default="", help="its path in the worktree")
    each.add_argument("--json", action="store_true", help="print JSON")


def _list(options: Json) -> tuple[list[Json], Table]:
    rows = [describe_place(place) for place in places()]
    table = _table("worktree", "task", "branch", "state", "at stake", "MB", "rescue refs")
    for row in rows:
        state = row["attempt_status"] or row["kind"]
        at_stake = "; ".join(row["at_stake"][:3]) or "nothing"
        more = len(row["at_stake"]) - 3
        at_stake += f" and {more} more" if more > 0 else ""
        cells = (row["name"], row["title"], row["branch"], state, at_stake, f"{row['mb']:.1f}")
        table.add_row(*(Text(cell) for cell in (*cells, str(len(row["rescue_refs"])))))
    return rows, table


def _rescue(options: Json) -> tuple[list[Json], Table]:
    return _outcomes(actions.rescue_all(options["name"]))


def _clean(options: Json) -> tuple[list[Json], Table]:
    return _outcomes(actions.clean(options["name"]))


def _outcomes(outcomes: list[actions.Outcome]) -> tuple[list[Json], Table]:
    rows = [asdict(each) for each in outcomes]
    table = _table("worktree", "outcome", "rescue refs", "reason")
    for row in rows:
        cells = (row["name"], row["outcome"], "\n".join(row["refs"]), row["reason"])
        table.add_row(*(Text(cell) for cell in cells))
    return rows, table


def _hooks(options: Json) -> tuple[list[Json], Table]:
    clones = clones_of(local_node().home)
    return _hook_table([describe_hook(c.url, each) for c in clones for each in decisions(c)])


def _trust(options: Json) -> tuple[list[Json], Table]:
    repo = actions.repository_named(options["repository"])
    made = actions.trust_hooks(repo, options["digest"], now=now_utc())
    return _hook_table([describe_hook(repo.url, each) for each in made])


def _distrust(options: Json) -> tuple[list[Json], Table]:
    repo = actions.repository_named(options["repository"])
    return _hook_table(
        [describe_hook(repo.url, each) for each in distrust(repo, options["digest"])]
    )


def _hook_table(rows: list[Json]) -> tuple[list[Json], Table]:
    table = _table("repository", "hook", "digest", "trusted", "command")
    for row in rows:
        trusted = row["trusted_at"] or "no"
        cells = (row["repository"], row["kind"], row["digest"][:12], trusted)
        table.add_row(*(Text(cell) for cell in (*cells, row["text"][:TEXT_SHOWN])))
    return rows, table


def _include(options: Json) -> tuple[list[Json], Table]:
    repo = actions.repository_named(options["repository"])
    place = actions.add_included(repo, options["file"], options["name"])
    table = _table("repository", "file")
    table.add_row(Text(repo.url), Text(str(place)))
    return [{"repository": repo.url, "file": str(place)}], table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
