from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2p.gossip.settings import GossipLimits
from tests.support.gossip_net import GossipNet, frame

SIZE = 6
NODE = st.integers(0, SIZE - 1)
STEP = st.one_of(
    st.tuples(st.just("publish"), NODE, st.booleans()),
    st.tuples(st.just("link"), NODE, NODE),
    st.tuples(st.just("cut"), NODE, NODE),
    st.tuples(st.just("full"), NODE, st.booleans()),
    st.tuples(st.just("wait"), st.integers(1, 400), st.none()),
)


def take_step(net: GossipNet, what: str, one: int, other: int | bool | None, seq: int) -> None:
    node = net.nodes[one % SIZE]
    peer = net.nodes[other] if isinstance(other, int) and not isinstance(other, bool) else node
    if what == "publish":
        net.publish(node, frame(node.number, seq, key=1 if other else 0))
    elif what == "link" and peer is not node and peer.id not in node.peers:
        net.link(node, peer)
    elif what == "cut" and peer.id in node.peers:
        net.cut(node, peer)
    elif what == "full":
        node.has_room = not other
    elif what == "wait":
        net.run(one / 100)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 1_000), steps=st.lists(STEP, max_size=40))
def test_whatever_happens_nothing_is_delivered_twice_and_the_end_is_quiet(
    verified_once: None, seed: int, steps: list[tuple[str, int, int | bool | None]]
) -> None:
    net = GossipNet(SIZE, seed, duplicates=0.2, reorder=True, limits=GossipLimits(eager_max=2))
    for seq, (what, one, other) in enumerate(steps, start=1):
        take_step(net, what, one, other, seq)
    net.run(300)

    for node in net.nodes:
        assert len(node.delivered) == len(set(node.delivered))
        assert node.id not in {each.origin for each in node.delivered}
        assert len(node.machine._missing) == 0
        assert node.machine.due_at is None


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 10_000), origins=st.lists(NODE, min_size=1, max_size=15))
def test_linked_nodes_get_everything_whatever_the_order(
    verified_once: None, seed: int, origins: list[int]
) -> None:
    net = GossipNet(SIZE, seed, duplicates=0.2, reorder=True, limits=GossipLimits(eager_max=2))
    for at in range(SIZE):
        net.link(net.nodes[at], net.nodes[(at + 1) % SIZE])
    net.link(net.nodes[0], net.nodes[3])
    ids = []
    for seq, at in enumerate(origins, start=1):
        ids.append(net.publish(net.nodes[at], frame(at + 1, seq)))
        net.run(0.004)
    net.run(30)

    assert net.problems(ids) == []
