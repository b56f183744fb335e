"""`manage.py docs`: writes the generated pages, or checks that they are up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from voidlux_site.documentation import pages, stale, write


class Command(BaseCommand):
    """Writes or checks docs/protocol.md, docs/states.md and docs/mcp.md."""

    help = (
        "Write docs/protocol.md (from the message classes), docs/states.md (from the tables of "
        "allowed moves) and docs/mcp.md (from the tools of agents). With --check nothing is "
        "written: the exit code is 1 when a page is stale."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare --check and --folder."""
        parser.add_argument("--check", action="store_true", help="only tell whether pages differ")
        parser.add_argument(
            "--folder", type=Path, default=settings.BASE_DIR / "docs", help="where the pages lie"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the pages, or fail when --check finds a stale one."""
        folder, wanted = Path(options["folder"]), pages()
        differing = stale(folder, wanted)
        if options["check"] and differing:
            names = ", ".join(f"docs/{name}" for name in differing)
            raise CommandError(f"{names}: not what the code says; run `make docs` and commit it")
        if not options["check"]:
            write(folder, {name: wanted[name] for name in differing})
        done = "up to date" if options["check"] or not differing else "written"
        self.stdout.write(f"{', '.join(f'docs/{name}' for name in wanted)}: {done}")
