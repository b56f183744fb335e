"""Stories of many nodes: what is sent, what arrives, and how the tree heals."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from p2p.gossip.effects import Effect, Send
from p2p.gossip.ids import id_of
from p2p.gossip.plumtree import Plumtree
from p2p.gossip.recent import Recent
from p2p.gossip.settings import GossipLimits
from tests.support.gossip_net import GossipNet, GossipNode, frame

pytestmark = pytest.mark.usefixtures("verified_once")


def full_net(size: int, seed: int, **settings: Any) -> GossipNet:
    net = GossipNet(size, seed, **settings)
    net.link_all()
    return net


def test_21_nodes_with_full_links_send_hardly_more_frames_than_are_delivered() -> None:
    for seed in range(100):
        net = full_net(21, seed)
        warm_up = net.publish_some(8, gap_s=0.2, settle_s=2)
        net.sent.clear()

        ids = net.publish_some(12, gap_s=0.02, settle_s=2)

        assert net.problems(warm_up + ids) == [], f"seed {seed}"
        assert net.copies(ids) <= 1.3, f"seed {seed}: {net.sent}"


def test_the_first_record_of_a_net_costs_no_more_than_its_eager_links() -> None:
    net = full_net(21, 1)

    ids = net.publish_some(1, gap_s=0)

    assert net.problems(ids) == []
    assert net.copies(ids) <= 5


@pytest.mark.parametrize("seed", range(10))
def test_what_eager_links_lose_is_asked_for(seed: int) -> None:
    def lose_records(chance: random.Random, send: Send) -> bool:
        return send.is_record and chance.random() < 0.1

    net = full_net(21, seed, loss=lose_records)

    ids = net.publish_some(40, gap_s=0.05)

    assert net.problems(ids) == []
    assert net.sent["iwant"] > 0


@pytest.mark.parametrize("seed", range(10))
def test_frames_twice_and_out_of_order_are_delivered_once(seed: int) -> None:
    net = full_net(13, seed, duplicates=0.3, reorder=True)

    ids = net.publish_some(40, gap_s=0.01)

    assert net.problems(ids) == []


@pytest.mark.parametrize("seed", range(10))
def test_the_tree_heals_when_its_busiest_nodes_crash(seed: int) -> None:
    net = full_net(21, seed)
    net.publish_some(10, gap_s=0.1)
    busiest = sorted(net.nodes, key=lambda node: -len(node.machine.eager("network")))[:4]
    for node in busiest:
        net.crash(node)

    ids = net.publish_some(20, gap_s=0.1)
    net.sent.clear()
    healed = net.publish_some(20, gap_s=0.1)

    assert net.problems(ids + healed) == []
    assert net.copies(healed) <= 1.3


@pytest.mark.parametrize("seed", range(5))
def test_nodes_that_crash_while_records_are_on_their_way_lose_nobody_elses(seed: int) -> None:
    net = full_net(15, seed)
    net.publish_some(8, gap_s=0.1)
    origin, *others = net.nodes
    for after_s, node in zip((0.011, 0.023, 0.041), others, strict=False):
        net.at(after_s, lambda node=node: net.crash(node))
    ids = []
    for seq in range(1_000, 1_020):
        ids.append(net.publish(origin, frame(origin.number, seq)))
        net.run(0.003)
    net.run(8)

    assert net.problems(ids) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_sparse_net_of_60_nodes_needs_one_frame_for_each_delivery(seed: int) -> None:
    net = GossipNet(60, seed)
    for one, other in pairwise(net.nodes):
        net.link(one, other)
    for node in net.nodes:
        strangers = [each for each in net.nodes if each.id not in {node.id, *node.peers}]
        for other in net.chance.sample(strangers, 3):
            net.link(node, other)
    warm_up = net.publish_some(10, gap_s=0.2)
    net.sent.clear()

    ids = net.publish_some(15, gap_s=0.02)

    assert net.problems(warm_up + ids) == []
    assert net.copies(ids) <= 1.1


@pytest.mark.parametrize("seed", range(5))
def test_a_swarms_records_reach_its_members_and_are_never_named_to_others(seed: int) -> None:
    net = full_net(12, seed, swarms=lambda number: "home" if number <= 6 else "abroad")
    home, abroad = net.nodes[:6], net.nodes[6:]

    public = net.publish_some(20, gap_s=0.05)
    secret = [
        net.publish(home[at % 6], frame(at % 6 + 1, 500 + at, scope="swarm")) for at in range(20)
    ]
    net.run(8)

    assert net.problems(public) == []
    for node in home:
        wanted = {each for each in secret if each.origin != node.id}
        assert {each for each in node.delivered if each.topic == "members"} == wanted
    assert [each for node in abroad for each in node.delivered if each.topic == "members"] == []
    assert net.leaks == []


def test_the_two_scopes_have_trees_of_their_own() -> None:
    net = full_net(12, 3, swarms=lambda number: "home" if number <= 6 else "abroad")
    for scope in ("network", "swarm", "network", "swarm"):
        net.publish_some(12, gap_s=0.05, scope=scope)
    net.sent.clear()

    public = net.publish_some(12, gap_s=0.05)

    assert net.copies(public) <= 1.1
    for node in net.nodes:
        assert {each in node.machine.eager("swarm") for each in strangers_of(node)} <= {False}


def strangers_of(node: GossipNode) -> list[str]:
    return [each.id for each in node.peers.values() if each.swarm != node.swarm]


def test_a_node_without_room_gets_the_record_when_it_has_some_again() -> None:
    net = GossipNet(3, 1)
    for one, other in pairwise(net.nodes):
        net.link(one, other)
    first, full, last = net.nodes
    full.has_room = False
    record_id = net.publish(first, frame(first.number, 1))
    net.run(2)
    assert (full.delivered, last.delivered) == ([], [])

    full.has_room = True
    net.run(10)

    assert (full.delivered, last.delivered) == ([record_id], [record_id])


def test_a_node_that_stays_without_room_is_left_alone_in_the_end() -> None:
    net = GossipNet(2, 1, limits=GossipLimits(refusals_max=3))
    net.link(*net.nodes)
    first, full = net.nodes
    full.has_room = False

    net.publish(first, frame(first.number, 1))
    net.run(60)

    # Pushed once and asked for after 0.5, 1 and 2 s.
    assert (net.sent["record"], net.sent["iwant"], full.counts["given_up"]) == (4, 3, 1)
    assert full.machine.due_at is None


def test_a_full_node_is_bypassed() -> None:
    net = full_net(8, 5)
    net.publish_some(5, gap_s=0.2)
    busiest = max(net.nodes, key=lambda node: len(node.machine.eager("network")))
    busiest.has_room = False

    origin = next(node for node in net.nodes if node is not busiest)
    record_id = net.publish(origin, frame(origin.number, 900))
    net.run(5)

    others = [node for node in net.nodes if node not in (origin, busiest)]
    assert [node.delivered.count(record_id) for node in others] == [1] * 6


@pytest.mark.parametrize("seed", range(5))
def test_of_many_versions_of_one_key_everybody_gets_the_last(seed: int) -> None:
    def lose_many(chance: random.Random, send: Send) -> bool:
        return send.is_record and chance.random() < 0.3

    net = full_net(9, seed, loss=lose_many)
    origin = net.nodes[0]
    for seq in range(1, 31):
        net.publish(origin, frame(origin.number, seq, key=1))
        net.run(0.05)
    net.run(15)

    for node in net.nodes[1:]:
        assert max(each.seq for each in node.delivered) == 30
        assert len(node.delivered) == len(set(node.delivered))


def test_a_repeated_story_is_the_same_to_the_byte() -> None:
    def told(seed: int) -> tuple[dict[str, int], int, list[list[int]]]:
        net = full_net(9, seed, duplicates=0.1, reorder=True)
        net.publish_some(20, gap_s=0.02)
        order = [[each.seq for each in node.delivered] for node in net.nodes]
        return dict(net.sent), net.bytes_sent, order

    assert told(7) == told(7)
    assert told(7) != told(8)


class ForgetfulPlumtree(Plumtree):
    """Forgets once what it has seen: the fault that these tests must notice."""

    forgets_at = 7
    taken = 0

    def accepted(self, *arguments: Any) -> list[Effect]:
        self.taken += 1
        if self.taken == self.forgets_at:
            self._seen = Recent(self._limits.seen_max)
        return super().accepted(*arguments)


def test_a_node_that_forgets_what_it_has_seen_is_noticed() -> None:
    net = full_net(8, 1, machine=ForgetfulPlumtree, duplicates=0.3)

    ids = net.publish_some(30, gap_s=0.01)

    assert any(each.endswith("2 times") for each in net.problems(ids))


class SilentPlumtree(Plumtree):
    """Never asks for what it misses: the other fault that these tests must notice."""

    def _ask(self, *arguments: Any) -> list[Effect]:
        return []


def test_a_node_that_never_asks_is_noticed() -> None:
    def lose_records(chance: random.Random, send: Send) -> bool:
        return send.is_record and chance.random() < 0.1

    net = full_net(21, 1, machine=SilentPlumtree, loss=lose_records)

    ids = net.publish_some(20, gap_s=0.05)

    assert any(each.endswith("0 times") for each in net.problems(ids))


def test_near_links_are_grafted_first() -> None:
    limits = replace(GossipLimits(), eager_max=0)
    net = GossipNet(4, 1, limits=limits)
    asker, near, far, origin = net.nodes
    net.link(origin, near)
    net.link(origin, far)
    net.link(far, asker)
    net.link(near, asker)
    net._latency_s[frozenset((asker.id, near.id))] = 0.002
    net._latency_s[frozenset((asker.id, far.id))] = 0.001 * 90

    record_id = net.publish(origin, frame(origin.number, 1))
    net.run(5)

    assert asker.delivered == [record_id]
    assert near.id in asker.machine.eager("network")
    assert far.id not in asker.machine.eager("network")
    assert id_of(frame(origin.number, 1).message) == record_id
