from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from p2p.protocol.errors import DomainError, ProtocolError
from p2p.protocol.fields import Address
from p2p.protocol.limits import FRAME_BYTES_MAX
from tests.support.mesh_nodes import HOST, QUICK, Node, Nodes, until
from tests.support.wire import MembersNote, identity_number, note, sealed_note, sealed_nudge

# By node id: the dedup rule depends on which is lower.
LOW, MIDDLE, HIGH = sorted((identity_number(n) for n in (1, 2, 3)), key=lambda each: each.node_id)


async def test_two_nodes_link_and_know_each_other(nodes: Nodes) -> None:
    low, high = await nodes.start(LOW), await nodes.start(HIGH)

    low.mesh.dial(HOST, high.mesh.port)
    await until(lambda: low.up and high.up)
    await until(lambda: low.mesh.peers()[0].latency_ms is not None)

    seen_by_low, seen_by_high = low.mesh.peers()[0], high.mesh.peers()[0]
    assert seen_by_low.node_id == HIGH.node_id
    assert (seen_by_low.swarm, seen_by_low.role, seen_by_low.http_port) == ("home", "worker", 9091)
    assert seen_by_low.p2p_port == high.mesh.port
    assert (seen_by_low.direction, seen_by_high.direction) == ("outbound", "inbound")
    assert seen_by_low.latency_ms is not None and 0 < seen_by_low.latency_ms < 5_000
    assert low.up[0].node_id == HIGH.node_id and low.down == []


async def test_a_command_goes_to_its_node_and_a_stranger_is_not_connected(nodes: Nodes) -> None:
    low, high = await nodes.start(LOW), await nodes.start(HIGH)
    low.mesh.dial(HOST, high.mesh.port)
    await until(lambda: low.up and high.up)
    payload = sealed_nudge(LOW, HIGH.node_id)

    assert low.mesh.send(HIGH.node_id, payload)
    assert not low.mesh.send(MIDDLE.node_id, payload)
    await until(lambda: high.inbox)

    message, from_node_id = high.inbox[0]
    assert (message.origin, from_node_id) == (LOW.node_id, LOW.node_id)


async def three_linked(nodes: Nodes) -> list[Node]:
    three = [await nodes.start(each) for each in (LOW, MIDDLE, HIGH)]
    for first, second in ((0, 1), (1, 2), (2, 0)):
        three[first].mesh.dial(HOST, three[second].mesh.port)
    await until(lambda: all(len(node.linked()) == 2 for node in three))
    return three


async def test_a_record_reaches_everybody_once_over_any_path(nodes: Nodes) -> None:
    three = await three_linked(nodes)

    sent = [sealed_note(LOW, seq=seq) for seq in range(1, 51)]
    assert [three[0].mesh.publish(payload) for payload in sent] == [2] * 50
    expected = [note(LOW, seq=seq) for seq in range(1, 51)]
    await until(lambda: all(len(node.inbox) == 50 for node in three[1:]))

    for node in three[1:]:
        assert sorted((m for m, _ in node.inbox), key=lambda m: m.seq) == expected
    assert three[0].inbox == []


async def test_of_a_ring_the_superfluous_link_is_pruned(nodes: Nodes) -> None:
    three = await three_linked(nodes)

    for seq in range(1, 31):
        three[0].mesh.publish(sealed_note(LOW, seq=seq))
        await until(lambda seen=seq: all(len(node.inbox) == seen for node in three[1:]))

    # A flood would bring 60 duplicates, one for each record at each of the two.
    assert 1 <= sum(node.mesh.counters["seen"] for node in three) <= 6


async def test_what_is_published_twice_is_sent_once(nodes: Nodes) -> None:
    low, high = await nodes.start(LOW), await nodes.start(HIGH)
    low.mesh.dial(HOST, high.mesh.port)
    await until(lambda: low.up and high.up)

    assert [low.mesh.publish(sealed_note(LOW)) for _ in range(3)] == [1, 0, 0]


@pytest.mark.parametrize(
    "payload", [sealed_nudge(LOW, HIGH.node_id), b'{"type":254,"a":1}'], ids=["command", "unknown"]
)
async def test_only_records_are_published(nodes: Nodes, payload: bytes) -> None:
    low = await nodes.start(LOW)

    with pytest.raises(ProtocolError, match="not_a_record: cannot publish"):
        low.mesh.publish(payload)


async def test_a_swarms_record_goes_to_members_only(nodes: Nodes) -> None:
    low = await nodes.start(LOW, secret="of the home swarm")
    member = await nodes.start(MIDDLE, secret="of the home swarm")
    stranger = await nodes.start(HIGH)  # of the same swarm's name, without its secret
    for other in (member, stranger):
        low.mesh.dial(HOST, other.mesh.port)
    await until(lambda: len(low.linked()) == 2)
    secret = sealed_note(LOW, kind=MembersNote)

    assert low.mesh.publish(secret) == 1
    low.mesh.publish(sealed_note(LOW, seq=2))
    await until(lambda: member.inbox and stranger.inbox)
    low.mesh.send(stranger.id, secret)
    await until(lambda: stranger.mesh.counters["not_a_member"] == 1)

    assert len(stranger.inbox) == 1
    assert [low.mesh.is_member(each.id) for each in (member, stranger)] == [True, False]


async def test_a_record_travels_along_a_chain(nodes: Nodes) -> None:
    low, middle, high = [await nodes.start(each) for each in (LOW, MIDDLE, HIGH)]
    low.mesh.dial(HOST, middle.mesh.port)
    high.mesh.dial(HOST, middle.mesh.port)
    await until(lambda: len(middle.linked()) == 2 and low.linked() and high.linked())

    low.mesh.publish(sealed_note(LOW))
    await until(lambda: high.inbox)

    assert high.inbox == [(note(LOW), MIDDLE.node_id)]


async def test_a_record_refused_by_a_full_inbox_is_asked_for_again(nodes: Nodes) -> None:
    low, high = await nodes.start(LOW), await nodes.start(HIGH)
    low.mesh.dial(HOST, high.mesh.port)
    await until(lambda: low.up and high.up)
    high.has_room = False

    low.mesh.publish(sealed_note(LOW))
    await until(lambda: high.mesh.counters["inbox_full"] == 2)
    high.has_room = True
    await until(lambda: high.inbox)

    assert high.inbox == [(note(LOW), LOW.node_id)]


async def test_mutual_dials_leave_one_link_and_nobody_goes_down(nodes: Nodes) -> None:
    low, high = await nodes.start(LOW), await nodes.start(HIGH)

    low.mesh.dial(HOST, high.mesh.port)
    high.mesh.dial(HOST, low.mesh.port)
    await until(lambda: low.up and high.up)
    await until(lambda: low.connections() == 1 and high.connections() == 1)
    await asyncio.sleep(0)  # lets a wrong "peer down" of the loser come through

    assert (len(low.up), len(high.up), low.down, high.down) == (1, 1, [], [])
    assert low.mesh.peers()[0].direction != high.mesh.peers()[0].direction


async def test_the_lower_id_keeps_what_it_dialled(nodes: Nodes) -> None:
    low, high = await nodes.start(LOW), await nodes.start(HIGH)
    high.mesh.dial(HOST, low.mesh.port)
    await until(lambda: low.up and high.up)
    assert low.mesh.peers()[0].direction == "inbound"

    low.mesh.dial(HOST, high.mesh.port)
    await until(lambda: low.mesh.peers()[0].direction == "outbound")
    await until(lambda: low.connections() == 1 and high.connections() == 1)

    assert high.mesh.peers()[0].direction == "inbound"
    assert (low.down, high.down) == ([], [])


async def test_nothing_sent_while_links_are_sorted_out_is_lost(nodes: Nodes) -> None:
    low, high = await nodes.start(LOW), await nodes.start(HIGH)
    high.mesh.dial(HOST, low.mesh.port)
    await until(lambda: low.up and high.up)

    low.mesh.dial(HOST, high.mesh.port)
    for seq in range(1, 301):
        assert low.mesh.publish(sealed_note(LOW, seq=seq)) == 1
        assert high.mesh.publish(sealed_note(HIGH, seq=seq)) == 1
        await asyncio.sleep(0)
    await until(lambda: len(low.inbox) == 300 and len(high.inbox) == 300)

    assert {message.seq for message, _ in low.inbox} == set(range(1, 301))


async def test_a_restarted_peer_is_found_again(nodes: Nodes) -> None:
    low, high = await nodes.start(LOW), await nodes.start(HIGH)
    low.mesh.dial(HOST, high.mesh.port)
    await until(lambda: low.up)
    port = high.mesh.port

    await high.mesh.stop("stopping")
    await until(lambda: low.down == [HIGH.node_id])
    again = await nodes.start(HIGH, port=port)
    await until(lambda: len(low.up) == 2 and again.up)

    assert low.linked() == {HIGH.node_id}


async def test_a_targeted_dial_links_a_known_address_once(nodes: Nodes) -> None:
    low, high = await nodes.start(LOW), await nodes.start(HIGH)
    dead = await nodes.start(MIDDLE)
    await dead.mesh.stop()
    addresses = [Address(host=HOST, port=dead.mesh.port), {"host": HOST, "port": high.mesh.port}]

    for _ in range(5):
        low.mesh.dial_node(HIGH.node_id, addresses)
    await until(lambda: low.linked() == {HIGH.node_id})
    low.mesh.dial_node(HIGH.node_id, addresses)
    low.mesh.dial_node(LOW.node_id, [Address(host=HOST, port=low.mesh.port)])

    assert (len(low.up), low.connections()) == (1, 1)
    with pytest.raises(ProtocolError, match=r"address of .*port"):
        low.mesh.dial_node(MIDDLE.node_id, [{"host": HOST, "port": 0}])


async def test_a_node_that_dials_itself_gives_up_on_that_address(nodes: Nodes) -> None:
    low = await nodes.start(LOW)

    low.mesh.dial(HOST, low.mesh.port)
    await until(lambda: low.mesh.counters["self_connection"] == 1)
    await until(lambda: not low.mesh._dialler._tasks.runs(f"seed {HOST}:{low.mesh.port}"))

    assert (low.up, low.connections()) == ([], 0)


async def test_the_most_linked_nodes_is_kept_in_both_directions(nodes: Nodes) -> None:
    few = replace(QUICK, connections_max=1)
    low, middle, high = (
        await nodes.start(LOW, limits=few),
        await nodes.start(MIDDLE),
        await nodes.start(HIGH),
    )
    middle.mesh.dial(HOST, low.mesh.port)
    await until(lambda: low.linked() == {MIDDLE.node_id})

    high.mesh.dial(HOST, low.mesh.port)
    await until(lambda: low.mesh.counters["too_many_connections"] >= 1)
    low.mesh.dial_node(HIGH.node_id, [Address(host=HOST, port=high.mesh.port)])
    await until(lambda: low.mesh.counters["too_many_connections"] >= 2)

    assert (low.linked(), high.up, low.down) == ({MIDDLE.node_id}, [], [])


async def test_nodes_of_other_networks_do_not_link(nodes: Nodes) -> None:
    low, high = await nodes.start(LOW), await nodes.start(HIGH, network="elsewhere")

    low.mesh.dial(HOST, high.mesh.port)
    await until(lambda: high.mesh.counters["wrong_network"] >= 2)

    assert (low.up, high.up) == ([], [])
    assert low.mesh.counters["rejected_by_peer"] >= 1


async def test_a_port_in_use_is_told_at_once(nodes: Nodes) -> None:
    low = await nodes.start(LOW)

    with pytest.raises(OSError, match="address already in use"):
        await nodes.start(HIGH, port=low.mesh.port)


async def test_payloads_beyond_a_frame_are_refused_before_they_are_sent(nodes: Nodes) -> None:
    low, high = await nodes.start(LOW), await nodes.start(HIGH)
    low.mesh.dial(HOST, high.mesh.port)
    await until(lambda: low.up and high.up)

    with pytest.raises(DomainError, match="1048577 bytes exceeds 1048576"):
        low.mesh.send(HIGH.node_id, b"x" * (FRAME_BYTES_MAX + 1))

    assert low.linked() == {HIGH.node_id}


async def test_a_failing_callback_costs_nothing_but_a_log_line(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    low, high = await nodes.start(LOW), await nodes.start(HIGH)
    high.mesh._on_peer_up = lambda peer: 1 / 0  # type: ignore[assignment, return-value]
    high.mesh._deliver = lambda received, node_id: bool(1 / 0)
    low.mesh.dial(HOST, high.mesh.port)
    await until(lambda: low.up and high.linked())

    low.mesh.publish(sealed_note(LOW))
    await until(lambda: high.mesh.counters["inbox_full"] == 1)

    assert high.linked() == {LOW.node_id}
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == [
        "on_peer_up failed",
        "delivery of Note failed",
    ]
