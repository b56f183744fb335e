"""The simulated network behaves as TCP does, and its time is nobody's clock."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.simulation.network import SOCKET_BYTES, Network
from tests.simulation.tampering import Tamper
from tests.simulation.virtual_time import Process, VirtualLoop

HERE, THERE = "10.0.0.1", "10.0.0.2"
PORT = 7101


class Peer(asyncio.Protocol):
    """One end that notes what it is told."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.got = b""
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Pair:
    """Two machines with a process each, and a connection between them."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.network = Network(self.loop, random.Random(1))
        self.near, self.far = Peer(), Peer()

    async def connect(self) -> None:
        self.here, self.there = Process(HERE), Process(THERE)
        await self.there.start(self.loop.create_server(lambda: self.far, THERE, PORT))
        await self.here.start(self.loop.create_connection(lambda: self.near, THERE, PORT))

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        try:
            self.loop.run_until_complete(story)
        finally:
            self.loop.close()


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_an_hour_takes_no_time(pair: Pair) -> None:
    began = time.monotonic()

    pair.run(asyncio.sleep(3_600))

    assert pair.loop.time() == pytest.approx(3_600)
    assert time.monotonic() - began < 60


def test_bytes_come_whole_in_order_and_later(pair: Pair) -> None:
    async def story() -> None:
        await pair.connect()
        for number in range(100):
            pair.near.transport.write(bytes([number]))
        assert pair.far.got == b""
        await asyncio.sleep(1)
        assert pair.far.got == bytes(range(100))

    pair.run(story())


def test_a_cut_holds_bytes_back_until_it_heals(pair: Pair) -> None:
    async def story() -> None:
        await pair.connect()
        pair.network.part({THERE: 1})
        pair.near.transport.write(b"held")
        await asyncio.sleep(600)
        assert (pair.far.got, pair.far.lost) == (b"", False)
        pair.network.heal()
        await asyncio.sleep(2)
        assert pair.far.got == b"held"

    pair.run(story())


def test_a_cut_of_one_direction_leaves_the_other(pair: Pair) -> None:
    async def story() -> None:
        await pair.connect()
        pair.network.cut(HERE, THERE)
        pair.near.transport.write(b"there")
        pair.far.transport.write(b"here")
        await asyncio.sleep(5)
        assert (pair.near.got, pair.far.got) == (b"here", b"")

    pair.run(story())


def test_a_dial_over_a_cut_hangs_and_one_to_nobody_is_refused(pair: Pair) -> None:
    async def story() -> None:
        await pair.connect()
        with pytest.raises(ConnectionRefusedError):
            await pair.here.start(pair.loop.create_connection(Peer, THERE, PORT + 1))
        pair.network.part({THERE: 1})
        dial = pair.here.start(pair.loop.create_connection(Peer, THERE, PORT))
        await asyncio.sleep(600)
        assert not dial.done()
        dial.cancel()

    pair.run(story())


def test_who_closes_has_everything_delivered_first(pair: Pair) -> None:
    async def story() -> None:
        await pair.connect()
        pair.near.transport.write(b"last words")
        pair.near.transport.close()
        await asyncio.sleep(1)
        assert (pair.far.got, pair.far.lost, pair.near.lost) == (b"last words", True, True)

    pair.run(story())


def test_a_slow_reader_fills_the_writers_buffer(pair: Pair) -> None:
    async def story() -> None:
        await pair.connect()
        pair.network.stall(THERE, True)
        pair.near.transport.write(bytes(SOCKET_BYTES))
        assert pair.near.transport.get_write_buffer_size() == 0
        pair.near.transport.write(b"more")
        assert pair.near.transport.get_write_buffer_size() == 4
        await asyncio.sleep(60)
        assert pair.far.got == b""
        pair.network.stall(THERE, False)
        await asyncio.sleep(2)
        assert len(pair.far.got) == SOCKET_BYTES + 4

    pair.run(story())


def test_a_crash_ends_timers_and_tells_the_peer(pair: Pair) -> None:
    late: list[str] = []

    async def work() -> None:
        pair.loop.call_later(5, late.append, "timer")
        await asyncio.sleep(5)
        late.append("task")

    async def story() -> None:
        await pair.connect()
        pair.there.start(work())
        await asyncio.sleep(1)
        pair.network.crash(pair.there, power=False)
        await asyncio.sleep(10)
        assert (late, pair.near.lost, pair.far.lost) == ([], True, False)

    pair.run(story())


def test_a_power_cut_tells_nobody_until_the_machine_is_back(pair: Pair) -> None:
    async def story() -> None:
        await pair.connect()
        pair.network.crash(pair.there, power=True)
        pair.near.transport.write(b"hello?")
        await asyncio.sleep(600)
        assert not pair.near.lost
        pair.network.machine(THERE).powered = True
        pair.near.transport.write(b"hello?")
        await asyncio.sleep(1)
        assert pair.near.lost

    pair.run(story())


def frame(number: int) -> bytes:
    payload = b'{"type":6,"n":%d}' % number
    return len(payload).to_bytes(4, "big") + payload


def test_a_mishandled_stream_still_has_whole_frames() -> None:
    tamper = Tamper(random.Random(1), drop=0.3, double=0.3, late=0.3)
    stream = object.__new__(Peer)

    arriving = tamper.feed(stream, b"".join(frame(number) for number in range(200)))

    sent = {frame(number) for number in range(200)}
    arrived = [data for _, data in arriving]
    assert set(arrived) < sent
    assert len(arrived) > len(set(arrived))
    assert any(delay_s > 0 for delay_s, _ in arriving)


def test_the_handshake_is_spared() -> None:
    tamper = Tamper(random.Random(1), drop=1.0)
    hello = b'{"type":1,"n":1}'
    framed = len(hello).to_bytes(4, "big") + hello

    assert tamper.feed(Peer(), framed + frame(1)) == [(0.0, framed)]
