"""Flooded messages: everybody in the scope once, nobody else, nothing old."""

from __future__ import annotations

import pytest

from p2p.gossip.effects import Count, Deliver, Send
from p2p.gossip.plumtree import Plumtree
from p2p.protocol.codec import Received
from p2p.protocol.errors import ProtocolError
from p2p.protocol.identity import Identity
from p2p.protocol.limits import FLOODED_AGE_MAX_MS
from p2p.protocol.signing import seal
from swarm.replication.messages import CensusRequest

NETWORK = "testnet"
NOW_MS = 1_000_000
ME, SENDER, MEMBER, OTHER, STRANGER = (Identity.from_seed(bytes([n]) * 32) for n in range(1, 6))


@pytest.fixture
def machine() -> Plumtree:
    plumtree = Plumtree(
        node_id=ME.node_id,
        network=NETWORK,
        scopes={},
        is_member=lambda node_id: node_id != STRANGER.node_id,
        latency_ms=lambda node_id: None,
        now_ms=lambda: NOW_MS,
    )
    for peer in (SENDER, MEMBER, OTHER, STRANGER):
        plumtree.peer_up(peer.node_id)
    return plumtree


def census(lamport_ts: int = NOW_MS, signer: Identity = SENDER) -> Received[CensusRequest]:
    message = CensusRequest(
        origin=signer.node_id,
        public_key=signer.public_key_text,
        lamport_ts=lamport_ts,
        node_id=signer.node_id,
    )
    return Received(message, seal(message, signer, NETWORK))


def test_it_goes_to_this_node_and_on_to_every_other_member(machine: Plumtree) -> None:
    said = census()

    effects = machine.receive(MEMBER.node_id, said, 0.0)

    assert effects == [
        Deliver(said, MEMBER.node_id),
        Send(SENDER.node_id, said.raw),
        Send(OTHER.node_id, said.raw),
    ]


def test_it_is_taken_once_and_never_after_a_later_one(machine: Plumtree) -> None:
    machine.receive(SENDER.node_id, census(NOW_MS), 0.0)

    assert machine.receive(OTHER.node_id, census(NOW_MS), 0.0) == [Count("seen")]
    assert machine.receive(OTHER.node_id, census(NOW_MS - 1), 0.0) == [Count("seen")]
    assert machine.receive(ME.node_id, census(NOW_MS + 1, ME), 0.0) == [Count("seen")]


def test_an_old_one_and_one_of_a_stranger_are_dropped(machine: Plumtree) -> None:
    old = census(NOW_MS - FLOODED_AGE_MAX_MS - 1)

    assert machine.receive(SENDER.node_id, old, 0.0) == [Count("too_old")]
    assert machine.receive(STRANGER.node_id, census(), 0.0) == [Count("not_a_member")]


def test_a_forged_one_is_the_givers_fault_and_hides_no_true_one(machine: Plumtree) -> None:
    true = census()
    forged = Received(true.message, true.raw.replace(b'"sig":"', b'"sig":"A')[:-3] + b'"}')

    with pytest.raises(ProtocolError):
        machine.receive(OTHER.node_id, forged, 0.0)

    assert Deliver(true, SENDER.node_id) in machine.receive(SENDER.node_id, true, 0.0)


def test_our_own_goes_to_all_members(machine: Plumtree) -> None:
    said = census(signer=ME)

    assert machine.flood(said) == [Send(peer.node_id, said.raw) for peer in (SENDER, MEMBER, OTHER)]
