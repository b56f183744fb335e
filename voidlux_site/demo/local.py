"""The node of this home, for commands that speak to it while it runs."""

from __future__ import annotations

from django.conf import settings
from django.core.management.base import CommandError

from voidlux_site.access import api_token
from voidlux_site.demo.client import NodeClient
from voidlux_site.demo.names import Names
from voidlux_site.management.commands.loginlink import login_url


def running_node() -> NodeClient:
    """Return a client of this home's node; CommandError where no node answers."""
    url = login_url("")
    api = NodeClient(url, api_token())
    if not api.is_healthy():
        api.close()
        raise CommandError(
            f"no node answers at {url}: start it with `manage.py runnode`, or set VOIDLUX_HOME, "
            f"VOIDLUX_HOST and VOIDLUX_HTTP_PORT as for the node (the home is {settings.HOME})"
        )
    return api


def names_at(api: NodeClient) -> Names:
    """Return names for every node that this one knows: its swarm's name, and a piece of the id."""
    own = api.get("/status")
    nodes = [own, *api.items("/nodes")]
    return Names({node["node_id"]: f"{node['swarm']}-{node['node_id'][:4]}" for node in nodes})
