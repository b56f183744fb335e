"""`manage.py loginlink`: a link that logs a browser in once."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from voidlux_site.access import LOGIN_LINK_TTL_S, new_login_path


class Command(BaseCommand):
    """Prints a one-time login link for the node of this home."""

    help = (
        "Print a link that logs a browser in to this node's dashboard. It works once, within "
        f"{LOGIN_LINK_TTL_S // 60} minutes. Set VOIDLUX_HOME, VOIDLUX_HOST and VOIDLUX_HTTP_PORT "
        "as for the node."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the link to standard output."""
        self.stdout.write(login_url(new_login_path()))


def login_url(path: str) -> str:
    """Return the URL of a path at this node, as a browser on this machine reaches it."""
    host = settings.ENVIRONMENT.host
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    shown = f"[{here}]" if ":" in here else here
    return f"http://{shown}:{settings.ENVIRONMENT.http_port}{path}"
