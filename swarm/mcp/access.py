"""What an agent needs to reach this node over MCP: the address and its token."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from django.conf import settings

from p2p.clock import now_utc
from swarm.mcp.tokens import issue_token
from swarm.models import Attempt

MCP_PATH = "/mcp"
SERVER_NAME = "voidlux"


@dataclass(frozen=True, slots=True)
class McpAccess:
    """Address and bearer token of one agent for one attempt; the token is kept nowhere else."""

    url: str
    token: str

    def __repr__(self) -> str:
        """Return a text without the token: it must not reach a log."""
        return f"McpAccess(url={self.url!r})"


def config_for(attempt: Attempt) -> McpAccess:
    """Issue the token of an open attempt and return it with the address; raises what that does.

    Called anew, for a run that is set up again, it ends the token that it returned before.
    """
    return McpAccess(url=mcp_url(), token=issue_token(attempt, now=now_utc()))


def mcp_url() -> str:
    """Return the address of this node's MCP server as its own agents reach it."""
    environment = settings.ENVIRONMENT
    return f"http://{_reachable(environment.host)}:{environment.http_port}{MCP_PATH}"


def _reachable(host: str) -> str:
    """Return the host for a URL: loopback where the node listens on every interface."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"[{address}]" if address.version == 6 else str(address)
