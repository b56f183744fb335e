"""Who is told of whom, and what of a neighbour's word is kept."""

from __future__ import annotations

import random

import pytest

from p2p.discovery.addresses import ip_of, is_loopback, may_travel
from p2p.discovery.candidates import Contact
from p2p.discovery.messages import Pex, PexEntry
from p2p.discovery.pex import ProvenNode, ProvenNodes, believable
from p2p.protocol.codec import Received, decode_payload, encode_message
from p2p.protocol.errors import DomainError, ProtocolError
from p2p.protocol.limits import FRAME_BYTES_MAX
from tests.support.wire import registry_with_test_messages

NOW = 1_000_000.0
DAY_S = 86_400.0
RECEIVER, OTHER = "a" * 32, "b" * 32


def proven(node_id: str = OTHER, host: str = "192.0.2.7", **changes: float | int) -> ProvenNode:
    fields = {"port": 7101, "seen_at": NOW, **changes}
    return ProvenNode(
        node_id=node_id,
        host=host,
        port=int(fields["port"]),
        swarm="orion",
        seen_at=fields["seen_at"],
    )


def table(*nodes: ProvenNode) -> ProvenNodes:
    made = ProvenNodes(sample=random.Random(7).sample)
    for node in nodes:
        made.note(node)
    return made


def entry(host: str, node_id: str = OTHER) -> PexEntry:
    return PexEntry(node_id=node_id, host=host, port=7101, swarm="orion")


@pytest.mark.parametrize(
    ("host", "other_end", "may"),
    [
        ("192.0.2.7", "198.51.100.1", True),
        ("2001:db8::7", "198.51.100.1", True),
        ("10.0.0.7", "10.0.0.9", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "::1", True),
        ("::1", "127.8.8.8", True),
        ("127.0.0.1", "192.0.2.7", False),
        ("127.8.8.8", "10.0.0.9", False),
        ("::1", "2001:db8::7", False),
        ("::ffff:127.0.0.1", "192.0.2.7", False),
        ("::ffff:192.0.2.7", "198.51.100.1", True),
        ("0.0.0.0", "127.0.0.1", False),
        ("::", "::1", False),
        ("::ffff:0.0.0.0", "127.0.0.1", False),
        ("224.0.0.1", "192.0.2.7", False),
        ("ff02::1", "fe80::1", False),
        ("255.255.255.255", "192.0.2.7", False),
        ("169.254.1.1", "169.254.1.2", False),
        ("fe80::1%eth0", "fe80::2", False),
        ("localhost", "127.0.0.1", False),
        ("node.example", "192.0.2.7", False),
        ("127.1", "192.0.2.7", False),
        ("2130706433", "192.0.2.7", False),
        ("0x7f000001", "192.0.2.7", False),
        ("", "127.0.0.1", False),
    ],
)
def test_which_addresses_pass_between_whom(host: str, other_end: str, may: bool) -> None:
    assert may_travel(host, other_end) is may
    told = table(proven(host=host)).told_to(RECEIVER, other_end, NOW) if host else Pex(peers=[])
    assert [each.host for each in told.peers] == ([host] if may else [])
    if host:
        kept = believable([entry(host)], other_end)
        assert kept == ([Contact(OTHER, host, 7101)] if may else [])


def test_names_for_this_machine_are_loopback() -> None:
    for host in ("localhost", "LOCALHOST.", "a.localhost", "127.3.2.1", "::1"):
        assert is_loopback(host), host
    for host in ("localhost.example", "128.0.0.1", "node.example", ""):
        assert not is_loopback(host), host
    assert str(ip_of("::ffff:10.0.0.7")) == "10.0.0.7"


@pytest.mark.parametrize(
    ("node", "told"),
    [
        pytest.param(proven(), True, id="fresh"),
        pytest.param(proven(RECEIVER), False, id="the receiver itself"),
        pytest.param(proven(seen_at=NOW - DAY_S + 1), True, id="almost a day old"),
        pytest.param(proven(seen_at=NOW - DAY_S), False, id="a day old"),
        pytest.param(proven(port=0), False, id="does not listen"),
    ],
)
def test_who_is_told_of_whom(node: ProvenNode, told: bool) -> None:
    assert bool(table(node).told_to(RECEIVER, "198.51.100.1", NOW).peers) is told


def test_a_node_is_told_where_it_was_seen_last() -> None:
    nodes = table(proven(), proven(host="192.0.2.8"))

    told = nodes.told_to(RECEIVER, "198.51.100.1", NOW)

    assert told.peers == [entry("192.0.2.8")]
    assert nodes.contact_of(OTHER) == Contact(OTHER, "192.0.2.8", 7101)
    assert nodes.contact_of(RECEIVER) is None


def test_at_most_thirty_by_chance_are_told_of() -> None:
    nodes = table(*(proven(f"{n:032x}") for n in range(100)))

    first, second = (nodes.told_to(RECEIVER, "192.0.2.1", NOW).peers for _ in range(2))

    assert (len(first), len(second)) == (30, 30)
    assert len({each.node_id for each in first}) == 30
    assert first != second


def test_the_table_is_bounded_and_forgets_whom_it_saw_longest_ago() -> None:
    nodes = table(*(proven(f"{n:032x}") for n in range(500)))
    nodes.note(proven(f"{0:032x}"))
    nodes.note(proven("f" * 32))

    assert len(nodes) == 500
    assert nodes.contact_of(f"{0:032x}") is not None
    assert nodes.contact_of(f"{1:032x}") is None


def test_a_full_message_fits_the_wire() -> None:
    longest = [entry("2606:4700:1111:2222:3333:4444:5555:6666", f"{n:032x}") for n in range(30)]

    payload = encode_message(Pex(peers=longest))

    decoded = decode_payload(payload, registry_with_test_messages())
    assert isinstance(decoded, Received)
    assert decoded.message == Pex(peers=longest)
    assert len(payload) < FRAME_BYTES_MAX / 200


@pytest.mark.parametrize(("count", "reason"), [(31, "malformed"), (10_000, "not_canonical")])
def test_a_liar_with_many_entries_breaks_the_protocol(count: int, reason: str) -> None:
    with pytest.raises(DomainError, match="length <= 30"):
        encode_message(Pex(peers=[entry("192.0.2.7")] * count))
    one = encode_message(Pex(peers=[entry("192.0.2.7")]))
    head, body = one[: one.index(b"[") + 1], one[one.index(b"[") + 1 : one.rindex(b"]")]
    frame = head + b",".join([body] * count) + b"]}"

    with pytest.raises(ProtocolError) as refusal:
        decode_payload(frame, registry_with_test_messages())

    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    "field",
    [b'"node_id":"x"', b'"host":""', b'"host":"a b"', b'"port":0', b'"port":65536', b'"swarm":""'],
)
def test_a_bad_entry_breaks_the_protocol(field: bytes) -> None:
    good = encode_message(Pex(peers=[entry("192.0.2.7")]))
    name = field.split(b":")[0]
    start = good.index(name)
    end = min(at for at in (good.find(b",", start), good.find(b"}", start)) if at > 0)

    with pytest.raises(ProtocolError) as refusal:
        decode_payload(good[:start] + field + good[end:], registry_with_test_messages())

    assert refusal.value.reason == "malformed"
