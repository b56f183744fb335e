"""What asyncio and uvloop alone can do: frames of 400 bytes over one hop, without any rule.

    python -m benchmarks.mesh.subjects.raw_frames {bytes,msgspec}

`bytes` hands the payload on as it came, `msgspec` packs it into a JSON message and decodes it,
as the cheapest protocol with messages would.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import msgspec
import uvloop

from benchmarks.mesh.asyncio_load import closed_loop, open_loop
from benchmarks.mesh.load import Load
from benchmarks.mesh.result import Result

PREFIX_BYTES = 4


class Blob(msgspec.Struct, tag_field="type", tag=1):
    """The payload in a message."""

    text: str


class Frames(asyncio.Protocol):
    """One end: writes frames, and hands on those that come."""

    def __init__(self, on_frame: Callable[[bytes], None]) -> None:
        """Take who gets the content of each frame."""
        self._on_frame = on_frame
        self._buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        at, end = 0, len(data)
        while at + PREFIX_BYTES <= end:
            after = at + PREFIX_BYTES + int.from_bytes(data[at : at + PREFIX_BYTES], "big")
            if after > end:
                break
            self._on_frame(data[at + PREFIX_BYTES : after])
            at = after
        self._buffer = data[at:]

    def send(self, content: bytes) -> None:
        """Write one frame."""
        assert self.transport is not None
        self.transport.write(len(content).to_bytes(PREFIX_BYTES, "big") + content)


async def run(kind: str) -> Result:
    """Measure one connection on loopback, both ends on this loop."""
    decoder = msgspec.json.Decoder(Blob)
    now_under: list[Load] = []

    def on_frame(content: bytes) -> None:
        now_under[-1].arrived(content if kind == "bytes" else decoder.decode(content).text)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Frames(on_frame), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, sender = await loop.create_connection(lambda: Frames(on_frame), "127.0.0.1", port)

    def publish(publisher: int, payload: bytes) -> None:
        if kind == "msgspec":
            payload = msgspec.json.encode(Blob(payload.decode()))
        sender.send(payload)

    result = Result()
    result.add_versions("uvloop", "msgspec")
    now_under.append(Load(1))
    await open_loop(now_under[-1], publish, 1)
    result.note_open(f"raw {kind}", now_under[-1])
    now_under.append(Load(1))
    await closed_loop(now_under[-1], publish, 1)
    result.note_closed(f"raw {kind}", now_under[-1])
    sender.transport.close()
    server.close()
    return result


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1])).print()
