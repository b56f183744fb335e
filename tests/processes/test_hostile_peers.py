"""Strangers and liars at the p2p port of a real node, while it trades with somebody else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.protocol_client import wire
from tests.protocol_client.client import OFFERING_ANNOUNCE, OFFERING_WITHDRAW, Client
from tests.support.deals import assert_books, gate_file, hire, money, small_repository, submit
from tests.support.nodes import HOST, RealNode
from tests.support.waiting import wait_for

pytestmark = pytest.mark.faults

HALF_OPEN = 1_000
BATCH = 50
DESCRIPTORS_MAX = 200
FRAME_BYTES_MAX = 1_048_576
CLOSED_WITHIN_S = 15.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def test_whoever_knocks_the_trade_of_the_node_goes_on(
    market: tuple[RealNode, RealNode], tmp_path: Path
) -> None:
    buyer, seller = market
    go = tmp_path / "go"
    deal = await hire(
        await submit(buyer, small_repository(tmp_path / "git").path, gate_file(go)), seller
    )
    await wait_for(lambda: deal.statuses() == ["in_progress"])

    async with asyncio.TaskGroup() as attacks:
        attacks.create_task(send_then_wait_for_the_end(buyer, b"\xff" * 65_536))
        attacks.create_task(send_then_wait_for_the_end(buyer, b"GET / HTTP/1.1\r\n\r\n"))
        attacks.create_task(forge_a_signature(buyer))
        attacks.create_task(leave_the_signature_out(buyer))
        attacks.create_task(send_too_much(buyer))
    await open_many_and_say_nothing(buyer)
    late = await Client.connect(HOST, buyer.p2p_port)
    await late.ping()
    await late.close()
    await wait_for(lambda: len(buyer.items("/peers")) == 1)

    assert buyer.is_healthy()
    assert [peer["node_id"] for peer in buyer.items("/peers")] == [seller.node_id]
    assert f"lost the link to {seller.node_id[:8]}" not in buyer.log()
    assert "Traceback" not in buyer.log()
    go.touch()
    assert (await deal.ended())["status"] == "completed"
    await wait_for(lambda: deal.executions() == [("accepted", "committed")])
    assert (money(buyer), money(seller)) == ((995, 0), (1005, 0))
    assert_books([buyer, seller], grants=2000)


async def send_then_wait_for_the_end(node: RealNode, data: bytes) -> None:
    """Send bytes that are no frame; the node must end the connection."""
    reader, writer = await asyncio.open_connection(HOST, node.p2p_port)
    writer.write(data)
    await until_closed(reader)
    writer.close()


async def forge_a_signature(node: RealNode) -> None:
    """Change a signed frame on a link whose handshake was right."""
    liar = await Client.connect(HOST, node.p2p_port)
    record = liar.record(OFFERING_WITHDRAW, offering_id="0" * 32, node_id=liar.key.node_id)
    liar.write(record.replace(b'"offering_id":"0', b'"offering_id":"1'))
    assert await liar.closed() == "bad_signature"


async def leave_the_signature_out(node: RealNode) -> None:
    """Send a record without its signature."""
    liar = await Client.connect(HOST, node.p2p_port)
    record = liar.record(OFFERING_ANNOUNCE, offering={})
    liar.write(record[: -wire.ENDING_BYTES] + b"}")
    assert await liar.closed() in {"malformed", "unsigned"}


async def send_too_much(node: RealNode) -> None:
    """Send a frame above the limit."""
    liar = await Client.connect(HOST, node.p2p_port)
    liar.write(b'{"type":6,"node_id":"' + b"a" * FRAME_BYTES_MAX + b'"}')
    assert await liar.closed() in {"frame_too_large", ""}


async def open_many_and_say_nothing(node: RealNode) -> None:
    """Open connections without a handshake; all end, and meanwhile they cost the node little.

    The first one sends half of a frame.
    """
    streams: list[Streams] = []
    while len(streams) < HALF_OPEN:
        # More at once would wait in the kernel's queue, where the node does not see them.
        batch = (asyncio.open_connection(HOST, node.p2p_port) for _ in range(BATCH))
        streams += await asyncio.gather(*batch)
    streams[0][1].write(b"\x00\x00\x04\x00" + b'{"type":1,')
    assert node.is_healthy()
    assert len(list(Path(f"/proc/{node.pid}/fd").iterdir())) < DESCRIPTORS_MAX
    await asyncio.gather(*(until_closed(reader) for reader, _ in streams))
    for _, writer in streams:
        writer.close()


async def until_closed(reader: asyncio.StreamReader) -> None:
    """Wait until the node has closed the connection, politely or not."""
    async with asyncio.timeout(CLOSED_WITHIN_S):
        try:
            while await reader.read(65_536):
                pass
        except ConnectionResetError:
            return
