"""A loopback HTTP server that takes the MCP calls of a fake CLI and keeps them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.http_serving import serving

Call = tuple[str, dict[str, Any]]


@contextlib.contextmanager
def mcp_endpoint() -> Iterator[tuple[str, list[Call]]]:
    """Serve until the block ends; gives the URL and the calls so far, as (bearer, params)."""
    calls: list[Call] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            calls.append((self.headers["Authorization"], body["params"]))
            answer = json.dumps({"jsonrpc": "2.0", "id": body["id"], "result": {}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}/mcp", calls
