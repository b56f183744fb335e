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
        "of seven subtasks, and check the outcome from the nodes' APIs, the git remote and "
        "`ledger verify` on every node. Takes "
        "about a minute, needs git and tmux, leaves nothing running. Exit code 0 means that every "
        "check held."
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

    def handle(self, *args: Any, **options: Any) -> None:
        """Perform the demo; the process ends with its exit code."""
        from voidlux_site.demo.show import Show

        if options["json"] and not options["json"].absolute().parent.is_dir():
            raise CommandError(f"--json {options['json']}: there is no such directory")
        # A pipe has no width of its own: wide enough that no table is folded.
        width = None if sys.stdout.isatty() else PIPE_COLUMNS
        console = Console(highlight=False, width=width)
        show = Show(console, json_path=options["json"], keep=options["keep"])
        code = show.run()
        if code:
            sys.exit(code)
