"""The MCP server: the SDK's streamable HTTP with our tokens. Costly to import: imported late."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl

from p2p.database_thread import DatabaseThread
from swarm.mcp.access import MCP_PATH, SERVER_NAME, mcp_url
from swarm.mcp.tokens import bearer_of
from swarm.mcp.tools import AgentTools

ATTEMPT_CLAIM = "attempt_id"
BODY_BYTES_MAX = 1024 * 1024

INSTRUCTIONS = """You are an agent of a VoidLux swarm. You have one task, in a worktree of your own.
Call agent_ready first: it tells the task. Work in the worktree and commit. Say task_progress now
and then. When you need a decision that only a person can make, call task_needs_input. End with
exactly one of task_complete (the work is done) or task_failed (it cannot be done). Being silent is
never taken for being done."""


class _Verifier:
    """Looks tokens up by their hash; tells the SDK for which attempt one stands."""

    def __init__(self, database: DatabaseThread) -> None:
        self._database = database

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return what a token stands for; None (401) where it was never issued."""
        bearer = await self._database.run(bearer_of, token)
        if bearer is None:
            return None
        # The SDK keeps this: it is given the hash, so that no token lies about in memory.
        return AccessToken(
            token=bearer.token_sha256,
            client_id=bearer.agent_id.hex,
            scopes=[],
            claims={ATTEMPT_CLAIM: bearer.attempt_id.hex},
        )


def build_server(database: DatabaseThread) -> MCPServer[Any]:
    """Return the server with all tools; each call runs on `database`."""
    server: MCPServer[Any] = MCPServer(
        name=SERVER_NAME,
        title="VoidLux",
        instructions=INSTRUCTIONS,
        token_verifier=_Verifier(database),
        # The SDK wants an issuer; without a resource URL it advertises no OAuth to clients.
        auth=AuthSettings(issuer_url=AnyHttpUrl(mcp_url()), resource_server_url=None),
        log_level="WARNING",
        subscriptions=False,
    )
    AgentTools(database, _attempt_of_request).add_to(server)
    return server


def build_application(server: MCPServer[Any]) -> Any:
    """Return the server's ASGI application: stateless, so that a restart loses no session."""
    return server.streamable_http_app(
        streamable_http_path=MCP_PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=BODY_BYTES_MAX,
        # Host and Origin are checked before, by the rules of the rest of the site.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )


def _attempt_of_request() -> UUID:
    from mcp.server.auth.middleware.auth_context import get_access_token

    access = get_access_token()
    if access is None or access.claims is None:
        raise RuntimeError("a tool was called without a token")
    return UUID(access.claims[ATTEMPT_CLAIM])
