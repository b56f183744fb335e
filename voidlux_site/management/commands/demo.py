"""`manage.py demo`: the whole story on real processes, told live and checked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

PIPE_COLUMNS = 160


class Command(BaseCommand):
    """Shows a trade between real nodes and proves its outcome."""

    help = (
        "Start four nodes as processes of their own, let one hire agents of the others for a goal "
        "of seven subtasks; then kill the emperor of a swarm in the middle of another goal, while "
        "a browser stays at the address of its Seneschal. The outcome is checked from the nodes' "
        "APIs, the git remote and `ledger verify` on every node. Takes about a minute and a half, "
        "needs git and tmux, leaves nothing running. Exit code 0 means that every check held."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--json", metavar="FILE", type=Path, help="write all facts and checks to this file"
        )
        parser.add_argument(
            "--keep",
            action="store_true",
            help="keep the nodes running until Ctrl-C, with links to their dashboards",
        )

        parser.add_argument(
            "--scale",
            metavar="N",
            help="instead: one swarm of N nodes, 2 to 50, whose emperor is killed at work",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Perform the demo; the process ends with its exit code."""
        from voidlux_site.demo.scale_show import ScaleShow
        from voidlux_site.demo.show import Show

        count = None if options["scale"] is None else _nodes_of(options["scale"])
        if options["json"] and not options["json"].absolute().parent.is_dir():
            raise CommandError(f"--json {options['json']}: there is no such directory")
        # A pipe has no width of its own: wide enough that no table is folded.
        width = None if sys.stdout.isatty() else PIPE_COLUMNS
        console = Console(highlight=False, width=width)
        path, keep = options["json"], options["keep"]
        show = Show(console, path, keep) if count is None else ScaleShow(console, path, keep, count)
        code = show.run()
        if code:
            sys.exit(code)


def _nodes_of(text: str) -> int:
    """Return the number of nodes that an option says; CommandError with its limits."""
    from voidlux_site.demo.scale import NODES_MAX, NODES_MIN

    if (
        text.isascii()
        and text.isdecimal()
        and len(text) < 9
        and NODES_MIN <= int(text) <= NODES_MAX
    ):
        return int(text)
    raise CommandError(
        f"--scale is {text!r}: a whole number of nodes from {NODES_MIN} to {NODES_MAX} is allowed"
    )
