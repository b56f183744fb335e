from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.mesh.tls import Tls, TlsChannel
from p2p.protocol.certificates import certificate_of
from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import HANDSHAKES_MAX
from tests.support.mesh_nodes import HOST, QUICK, Node, Nodes, RawPeer, any_certificate, until
from tests.support.wire import identity_number, note, sealed_note

ALICE, BOB, EVE = (identity_number(n) for n in (1, 2, 3))
TLS_OF_BOB = Tls.of(BOB)


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    started = Nodes(with_tls=True)
    yield started
    await started.stop()


@asynccontextmanager
async def in_the_middle(node: Node, shown: Tls) -> AsyncIterator[int]:
    """Give a port where somebody ends TLS and hands every byte on to the node and back."""
    ends: list[asyncio.StreamWriter] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_node = await asyncio.open_connection(HOST, node.mesh.port, ssl=any_certificate())
        ends.extend((writer, to_node[1]))
        await asyncio.gather(
            copy(reader, to_node[1]), copy(to_node[0], writer), return_exceptions=True
        )

    server = await asyncio.start_server(relay, HOST, 0, ssl=shown.listener)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for end in ends:
        end.transport.abort()


async def test_links_are_encrypted_with_nothing_older_than_tls_1_3(nodes: Nodes) -> None:
    bob = await nodes.start(BOB)
    old = any_certificate()
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        await asyncio.open_connection(HOST, bob.mesh.port, ssl=old)
    _, writer = await asyncio.open_connection(HOST, bob.mesh.port, ssl=any_certificate())

    shown = writer.get_extra_info("ssl_object")
    assert shown.version() == "TLSv1.3"
    assert shown.getpeercert(binary_form=True) == certificate_of(BOB)
    assert bob.mesh.counters["tls_failed"] == 1
    writer.transport.abort()


async def test_a_relay_that_ends_tls_on_both_sides_is_found_out_by_the_dialler(
    nodes: Nodes,
) -> None:
    alice, bob = await nodes.start(ALICE), await nodes.start(BOB)

    async with in_the_middle(bob, Tls.of(EVE)) as port:
        alice.mesh.dial(HOST, port)
        await until(lambda: alice.mesh.counters["certificate_mismatch"] >= 1)

    assert (alice.up, bob.up) == ([], [])


async def test_a_relay_is_found_out_by_the_listener_when_the_dialler_does_not_look(
    nodes: Nodes,
) -> None:
    bob = await nodes.start(BOB)

    async with in_the_middle(bob, Tls.of(EVE)) as port:
        reader, writer = await asyncio.open_connection(HOST, port, ssl=any_certificate())
        careless = RawPeer(reader, writer)
        with pytest.raises(ProtocolError, match="rejected_by_peer: bad_signature"):
            await careless.shake_hands(ALICE)
        writer.transport.abort()

    assert bob.mesh.counters["bad_signature"] == 1
    assert bob.up == []


async def test_a_proof_made_for_another_channel_does_not_count(nodes: Nodes) -> None:
    # Eve listens with her own certificate, gets Alice's proof there and tries it on Bob.
    bob = await nodes.start(BOB)
    peer = await RawPeer.connect(bob)

    with pytest.raises(ProtocolError, match="rejected_by_peer: bad_signature"):
        await peer.shake_hands(ALICE, cert_hash=b"\x01" * 32)

    assert bob.up == []
    peer.close()


async def test_a_listener_with_the_certificate_of_another_node_is_refused(nodes: Nodes) -> None:
    alice, liar = await nodes.start(ALICE), await nodes.start(EVE, tls=TLS_OF_BOB)

    alice.mesh.dial(HOST, liar.mesh.port)
    await until(lambda: liar.mesh.counters["rejected_by_peer"] >= 1)

    assert alice.mesh.counters["certificate_mismatch"] >= 1
    assert (alice.up, liar.up) == ([], [])


@pytest.mark.parametrize("dialler_has_tls", [True, False])
async def test_both_sides_learn_at_once_that_only_one_has_tls(
    nodes: Nodes, caplog: pytest.LogCaptureFixture, dialler_has_tls: bool
) -> None:
    dialler = await nodes.start(ALICE, tls=dialler_has_tls)
    listener = await nodes.start(BOB, tls=not dialler_has_tls)

    began = time.monotonic()
    dialler.mesh.dial(HOST, listener.mesh.port)
    at_the_dialler = "tls_mismatch" if dialler_has_tls else "rejected_by_peer"
    await until(lambda: dialler.mesh.counters[at_the_dialler] >= 1)

    assert time.monotonic() - began < 2
    spoken = ("with TLS", "without TLS") if dialler_has_tls else ("without TLS", "with TLS")
    line = "tls_mismatch: the peer speaks {}, this node {}"
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"connection with {HOST} closed: {line.format(*spoken)}" in lines
    own = line.format(*reversed(spoken)) if dialler_has_tls else line.format(*spoken)
    assert any(each.endswith(own) for each in lines[1:2])
    assert (dialler.up, listener.up) == ([], [])


async def test_the_deadline_of_the_handshake_covers_tls(nodes: Nodes) -> None:
    bob = await nodes.start(BOB, limits=replace(QUICK, handshake_timeout_s=0.1))
    silent = await RawPeer.connect_bare(bob)
    stuck = await RawPeer.connect_bare(bob)
    hello = TlsChannel(Tls.of(EVE), outbound=True)
    hello.receive(b"")
    stuck.send_bytes(hello.outgoing()[:100])

    assert await silent.until_closed() == []
    assert await stuck.until_closed() == []
    assert bob.mesh.counters["handshake_timeout"] == 2
    await until(lambda: bob.connections() == 0)


async def test_a_dialler_gives_up_on_a_listener_that_never_begins_tls(nodes: Nodes) -> None:
    alice = await nodes.start(ALICE, limits=replace(QUICK, handshake_timeout_s=0.1))
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), HOST, 0)

    alice.mesh.dial(HOST, server.sockets[0].getsockname()[1])
    await until(lambda: alice.mesh.counters["handshake_timeout"] >= 2)

    assert alice.up == []
    server.close()
    for writer in held:
        writer.transport.abort()


async def test_failed_tls_holds_no_place_of_a_stranger(nodes: Nodes) -> None:
    bob = await nodes.start(BOB)

    for _ in range(HANDSHAKES_MAX + 5):
        broken = await RawPeer.connect_bare(bob)
        broken.send_bytes(b"\x16\x03\x01\x00\x10" + bytes(16))
        with pytest.raises((EOFError, ConnectionResetError, ProtocolError)):
            await broken.next()

    assert bob.mesh.counters["tls_failed"] == HANDSHAKES_MAX + 5
    alice = await RawPeer.linked(bob, ALICE)
    await until(lambda: bob.linked() == {ALICE.node_id})
    alice.close()


async def test_a_record_that_was_changed_on_the_way_ends_the_link(nodes: Nodes) -> None:
    bob = await nodes.start(BOB)
    eve = await RawPeer.linked(bob, EVE)
    await until(lambda: bob.up)

    # Below TLS, as somebody on the wire would do it.
    raw = eve._writer.get_extra_info("socket")
    os.write(raw.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
    await until(lambda: bob.down == [EVE.node_id])

    assert bob.mesh.counters["tls_failed"] == 1
    eve._writer.transport.abort()


async def test_large_frames_pass_in_both_directions(nodes: Nodes) -> None:
    alice, bob = await nodes.start(ALICE), await nodes.start(BOB)
    alice.mesh.dial(HOST, bob.mesh.port)
    await until(lambda: alice.up and bob.up)
    long = "x" * 65_000

    for seq in range(1, 51):
        assert alice.mesh.publish(sealed_note(ALICE, seq=seq, text=long)) == 1
        assert bob.mesh.publish(sealed_note(BOB, seq=seq, text=long)) == 1
    await until(lambda: len(alice.inbox) == 50 and len(bob.inbox) == 50)

    assert [message for message, _ in alice.inbox] == [
        note(BOB, seq=seq, text=long) for seq in range(1, 51)
    ]


def test_two_channels_agree_however_the_bytes_are_cut() -> None:
    for size in (1, 7, 1_000_000):
        dialler = TlsChannel(Tls.of(ALICE), outbound=True)
        listener = TlsChannel(TLS_OF_BOB, outbound=False)
        assert dialler.receive(b"") == b""
        said = b""
        for _ in range(4):
            for one, other in ((dialler, listener), (listener, dialler)):
                data = one.outgoing()
                for at in range(0, len(data), size):
                    said += other.receive(data[at : at + size])
            if dialler.established and not said:
                dialler.send(b"hello")

        assert (dialler.established, listener.established, said) == (True, True, b"hello")
        assert dialler.certificate == listener.certificate == certificate_of(BOB)
        listener.end()
        dialler.receive(listener.outgoing())
        assert dialler.ended


@given(st.lists(st.binary(max_size=600), max_size=4), st.booleans())
def test_any_bytes_give_nothing_or_a_protocol_error(parts: list[bytes], real_head: bool) -> None:
    channel = TlsChannel(TLS_OF_BOB, outbound=False)
    if real_head:
        hello = TlsChannel(TLS_OF_BOB, outbound=True)
        hello.receive(b"")
        assert channel.receive(hello.outgoing()) == b""
    try:
        assert b"".join(channel.receive(part) for part in parts) == b""
    except ProtocolError as error:
        assert error.reason == "tls_failed"
    assert not channel.established


def test_the_key_is_loaded_without_memory_files_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")

    assert Tls.of(ALICE).certificate == certificate_of(ALICE)
