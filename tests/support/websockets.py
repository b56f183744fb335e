"""A follower of a node's live events on a plain socket: enough of RFC 6455 to see the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.nodes import HOST, RealNode

TEXT, CLOSE = 0x1, 0x8
ANSWER_S = 20.0


class Follower:
    """One open WebSocket at `/ws`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def next_event(self) -> dict[str, Any]:
        """Return the next event; AssertionError when the node closes instead."""
        opcode, payload = await self._frame()
        assert opcode == TEXT, (opcode, payload)
        event: dict[str, Any] = json.loads(payload)
        return event

    async def close_code(self) -> int:
        """Read until the node closes and return the code of its close frame."""
        while True:
            opcode, payload = await self._frame()
            if opcode == CLOSE:
                self._writer.write(bytes([0x88, 0x82, 0, 0, 0, 0]) + payload[:2])
                return int.from_bytes(payload[:2], "big")

    async def _frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(ANSWER_S):
            first, length = await self._reader.readexactly(2)
            if length >= 126:
                length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8))
            return first & 0x0F, await self._reader.readexactly(length)


@asynccontextmanager
async def open_websocket(node: RealNode) -> AsyncIterator[Follower]:
    """Follow a node's events until the block ends."""
    token = (node.home / "api-token").read_text().strip()
    reader, writer = await asyncio.open_connection(HOST, node.http_port)
    head = (
        f"GET /ws HTTP/1.1\r\nHost: {HOST}:{node.http_port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Version: 13\r\nOrigin: http://{HOST}:{node.http_port}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    )
    writer.write(head.encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    try:
        yield Follower(reader, writer)
    finally:
        writer.close()
