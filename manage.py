#!/usr/bin/env python
"""Runs the commands of the site: `manage.py help` lists them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# These only look at the code, so they leave no directory behind in a fresh clone.
COMMANDS_WITHOUT_HOME = frozenset({"check", "demo", "docs", "help", "makemigrations", "version"})
HELP_OPTIONS = frozenset({"-h", "--help", "--version"})


def needs_home(arguments: list[str]) -> bool:
    """Tell whether the command line (without the program) works with the state of a node."""
    if not arguments or HELP_OPTIONS.intersection(arguments):
        return False
    return arguments[0] not in COMMANDS_WITHOUT_HOME


def prepare_home(home: Path, *, needed: bool) -> None:
    """Create the home when it is needed; ends the process with one line when it cannot be."""
    from voidlux_site.environment import EXIT_WRONG_ENVIRONMENT
    from voidlux_site.environment_types import IN_MEMORY_DATABASE
    from voidlux_site.home import create_home

    if not needed:
        if not home.is_dir():
            os.environ.setdefault("DATABASE_URL", IN_MEMORY_DATABASE)
        return
    try:
        create_home(home)
    except OSError as error:
        allowed = "a directory that this user may create and write is allowed"
        print(f"VOIDLUX_HOME is '{home}': {allowed} ({error.strerror})", file=sys.stderr)
        raise SystemExit(EXIT_WRONG_ENVIRONMENT) from None


def main() -> None:
    """Run one command; a wrong environment ends it with one line and exit code 2."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "voidlux_site.settings")
    from voidlux_site.environment import require_environment
    from voidlux_site.seneschal.defaults import COMMAND, take_defaults

    if sys.argv[1:2] == [COMMAND]:
        take_defaults(sys.argv[2:], os.environ)
    home = require_environment().home
    prepare_home(home, needed=needs_home(sys.argv[1:]))
    if sys.argv[1:2] == ["runnode"]:
        from voidlux_site.node.event_loop import prefer_uvloop

        prefer_uvloop()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
