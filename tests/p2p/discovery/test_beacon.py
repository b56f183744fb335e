"""Datagrams: what is believed of them (nothing but a place to dial), and what they may cost."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.discovery.beacon import BeaconReader, beacon_of
from p2p.discovery.candidates import Contact
from p2p.discovery.udp import BeaconSocket, Reach, reach_of
from p2p.protocol.errors import ProtocolError
from tests.support.mesh_nodes import until

OWN, OTHER = "0" * 32, "a" * 32
LOOPBACK = Reach("127.255.255.255", "127.255.255.255", "127.0.0.1")


def reader() -> BeaconReader:
    return BeaconReader(network="galaxy", own_node_id=OWN)


def datagram(**changes: Any) -> bytes:
    fields = {"network": "galaxy", "node_id": OTHER, "p2p_port": 7101, "version": 1}
    return json.dumps({**fields, **changes}).encode()


def reason(data: bytes, host: str = "192.0.2.7") -> str:
    with pytest.raises(ProtocolError) as refusal:
        reader().read(data, host, 0.0)
    return refusal.value.reason


def test_a_beacon_names_its_sender_and_the_source_is_the_host() -> None:
    data = beacon_of(network="galaxy", node_id=OTHER, p2p_port=7101)

    assert json.loads(data) == json.loads(datagram())
    assert reader().read(data, "192.0.2.7", 0.0) == Contact(OTHER, "192.0.2.7", 7101)


def test_the_longest_beacon_fits() -> None:
    data = beacon_of(network="n" * 64, node_id=OTHER, p2p_port=65_535)

    assert len(data) <= 512


def test_ones_own_beacon_is_nothing_new() -> None:
    assert reader().read(datagram(node_id=OWN), "192.0.2.7", 0.0) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"null", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 512, "malformed"),
        (datagram(node_id="A" * 32), "malformed"),
        (datagram(node_id=OTHER + "\n"), "malformed"),
        (datagram(p2p_port=0), "malformed"),
        (datagram(p2p_port=65_536), "malformed"),
        (datagram(p2p_port="7101"), "malformed"),
        (datagram(p2p_port=7101.5), "malformed"),
        (datagram(network=""), "malformed"),
        (datagram(version=2**70), "malformed"),
        (datagram(padding="x" * 512), "too_large"),
        (datagram(network="andromeda"), "wrong_network"),
        (datagram(version=2), "wrong_version"),
    ],
)
def test_a_bad_datagram_is_named(data: bytes, expected: str) -> None:
    assert reason(data) == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "169.254.1.1", "255.255.255.255"])
def test_a_source_that_cannot_be_dialled_is_refused(host: str) -> None:
    assert reason(datagram(), host) == "bad_address"


@given(st.binary(max_size=600))
def test_any_bytes_give_a_contact_or_a_reason(data: bytes) -> None:
    try:
        contact = reader().read(data, "192.0.2.7", 0.0)
    except ProtocolError as error:
        assert error.reason in {"too_large", "malformed", "wrong_network", "wrong_version"}
    else:
        assert contact is None or contact.host == "192.0.2.7"


def test_a_flooder_is_ignored_and_its_neighbour_is_not() -> None:
    beacons = reader()
    taken = _accepted(beacons, [("192.0.2.7", 0.0)] * 90)

    assert taken == 20
    assert _accepted(beacons, [("192.0.2.8", 0.0)]) == 1
    assert _accepted(beacons, [("192.0.2.7", 10.0)] * 11) == 10


def test_a_flood_of_made_up_sources_is_bounded() -> None:
    beacons = reader()
    sources = [(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", n / 1_000) for n in range(1, 20_001)]

    taken = _accepted(beacons, sources)

    assert taken == pytest.approx(100 + 20 * 50, abs=2)
    assert len(beacons) == 256


def _accepted(beacons: BeaconReader, datagrams: list[tuple[str, float]]) -> int:
    taken = 0
    for host, now in datagrams:
        try:
            taken += beacons.read(datagram(), host, now) is not None
        except ProtocolError as error:
            assert error.reason == "too_often"
    return taken


@pytest.mark.parametrize(
    ("host", "reach"),
    [
        ("127.0.0.1", LOOPBACK),
        ("localhost", LOOPBACK),
        ("0.0.0.0", Reach("0.0.0.0", "255.255.255.255", "0.0.0.0")),
        ("192.0.2.7", Reach("0.0.0.0", "255.255.255.255", "192.0.2.7")),
        ("node.example", Reach("0.0.0.0", "255.255.255.255", "0.0.0.0")),
        ("::1", None),
        ("::", None),
        ("2606:4700::7", None),
    ],
)
def test_how_far_a_beacon_reaches(host: str, reach: Reach | None) -> None:
    assert reach_of(host) == reach


class Ears:
    """Beacon sockets on loopback that note what they hear."""

    def __init__(self) -> None:
        self._sockets: list[BeaconSocket] = []

    async def open(
        self, beacon: bytes, *, port: int = 0, reach: Reach = LOOPBACK
    ) -> tuple[BeaconSocket, list[tuple[bytes, str]]]:
        heard: list[tuple[bytes, str]] = []
        made = BeaconSocket(
            beacon=beacon, reach=reach, port=port, heard=lambda *each: heard.append(each)
        )
        await made.open()
        self._sockets.append(made)
        return made, heard

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@pytest.fixture
async def ears() -> AsyncIterator[Ears]:
    made = Ears()
    yield made
    made.close()


async def test_nodes_of_one_machine_hear_each_other_on_one_port(ears: Ears) -> None:
    first, heard_by_first = await ears.open(b"one")
    second, heard_by_second = await ears.open(b"two", port=first.port)

    first.send()
    await until(lambda: heard_by_second)
    second.send()
    await until(lambda: len(heard_by_first) == 2)

    assert heard_by_first == [(b"one", "127.0.0.1"), (b"two", "127.0.0.1")]
    assert heard_by_second[0] == (b"one", "127.0.0.1")


async def test_the_beacon_is_sent_at_once_and_again_until_cancelled(
    ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2p.protocol.limits.BEACON_EVERY_S", 0.01)
    beacon, heard = await ears.open(b"here")
    running = asyncio.create_task(beacon.run())

    await until(lambda: len(heard) >= 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert set(heard) == {(b"here", "127.0.0.1")}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.255.255.255", beacon.port))


async def test_a_taken_port_is_an_error_that_leaves_nothing_open(ears: Ears) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.255.255.255", 0))  # not shared
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await ears.open(b"x", port=port)


async def test_a_network_that_cannot_be_reached_is_named_once(
    ears: Ears, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="p2p.discovery.udp")
    refused = Reach("127.0.0.1", "192.0.2.255", "127.0.0.1")  # loopback cannot reach it
    beacon, heard = await ears.open(b"x", reach=refused)

    for _ in range(5):
        beacon.send()
    await until(lambda: caplog.messages)

    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("the beacon is not sent: ")
    assert heard == []


def sends_to(port: int) -> Callable[[bytes], None]:
    def send(data: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(data, ("127.0.0.1", port))

    return send


async def test_hostile_datagrams_over_unicast_cost_nothing(ears: Ears) -> None:
    beacon, heard = await ears.open(b"x", reach=Reach("127.0.0.1", "127.0.0.1", "127.0.0.1"))
    send = sends_to(beacon.port)
    hostile = (b"", b"\0" * 600, b"[" * 8_000, datagram(p2p_port=-1), datagram())
    for count, data in enumerate(hostile, start=1):
        send(data)
        await until(lambda count=count: len(heard) == count, within_s=30.0)

    beacons, found = reader(), []
    for data, host in heard:
        try:
            found.append(beacons.read(data, host, 0.0))
        except ProtocolError:
            continue

    assert found == [Contact(OTHER, "127.0.0.1", 7101)]
