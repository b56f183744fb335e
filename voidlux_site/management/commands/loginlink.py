"""`manage.py loginlink`: a link that logs a browser in once."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from voidlux_site.access import LOGIN_LINK_TTL_S, new_login_path


class Command(BaseCommand):
    """Prints a one-time login link for the node of this home."""

    help = (
        "Print a link that logs a browser in to this node's dashboard. It works once, within "
        f"{LOGIN_LINK_TTL_S // 60} minutes; where the swarm has a secret, at any of its members, "
        "once at each. Set VOIDLUX_HOME, VOIDLUX_HOST and VOIDLUX_HTTP_PORT as for the node."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare where the link leads to."""
        parser.add_argument(
            "--at",
            metavar="URL",
            default="",
            help="address to log in at, such as that of the Seneschal (default: the node's own)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the link to standard output."""
        at = options["at"]
        self.stdout.write(f"{_base(at)}{new_login_path()}" if at else login_url(new_login_path()))


def _base(url: str) -> str:
    """Return scheme, host and port of a URL; CommandError for what is none."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in url:
        raise CommandError(f"--at is {url!r}: a URL such as http://127.0.0.1:9090 is allowed")
    return f"{parts.scheme}://{parts.netloc}"


def login_url(path: str) -> str:
    """Return the URL of a path at this node, as a browser on this machine reaches it."""
    host = settings.ENVIRONMENT.host
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    shown = f"[{here}]" if ":" in here else here
    return f"http://{shown}:{settings.ENVIRONMENT.http_port}{path}"
