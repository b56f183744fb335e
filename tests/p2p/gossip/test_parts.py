from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.gossip.frame_cache import FrameCache
from p2p.gossip.ids import RecordId, expanded, grouped
from p2p.gossip.missing import MissingTable
from p2p.gossip.recent import Recent
from p2p.gossip.settings import GossipLimits
from p2p.gossip.tree import Tree


def record_id(seq: int, origin: str = "a") -> RecordId:
    return RecordId(origin * 32, "notes", 1, seq)


def test_the_oldest_is_forgotten_first() -> None:
    recent: Recent[str, int] = Recent(2)
    for at, key in enumerate("abc"):
        recent.add(key, at)
    recent.add("b", 9)

    assert ("a" in recent, recent.get("a"), recent.get("b"), len(recent)) == (False, None, 9, 2)
    recent.add("d", 4)
    assert ("b" in recent, "c" in recent) == (False, True)


def test_ids_of_one_origin_travel_together() -> None:
    ids = [record_id(3), record_id(1, "b"), record_id(4), RecordId("a" * 32, "notes", 2, 1)]

    groups = grouped(ids)

    assert [(each.origin[0], each.incarnation, each.seqs) for each in groups] == [
        ("a", 1, [3, 4]),
        ("b", 1, [1]),
        ("a", 2, [1]),
    ]
    assert sorted(expanded(groups)) == sorted(ids)


def test_a_new_link_is_eager_while_few_are() -> None:
    tree = Tree(2)
    for each in "abc":
        tree.add(each)
    tree.remove("a")
    tree.add("d")
    tree.add("b")
    tree.make_lazy("b")
    tree.make_eager("x")

    assert (tree.eager, tree.lazy) == (["d"], ["c", "b"])


def test_the_cache_holds_one_frame_for_each_key() -> None:
    cache = FrameCache(10, 1_000)
    cache.add(record_id(1), "k", b"one")
    cache.add(record_id(3), "k", b"three")
    cache.add(record_id(2), "k", b"two")
    cache.add(record_id(2, "b"), "k", b"another's")

    assert [cache.get(record_id(seq)) for seq in (1, 2, 3)] == [(record_id(3), b"three")] * 3
    assert cache.get(record_id(2, "b")) == (record_id(2, "b"), b"another's")
    assert cache.get(record_id(9)) is None
    assert [cache.is_superseded(record_id(seq)) for seq in (1, 2, 3, 9)] == [
        True,
        True,
        False,
        False,
    ]
    assert cache.bytes_held == len(b"three") + len(b"another's")


def test_a_frame_larger_than_the_cache_is_not_held() -> None:
    cache = FrameCache(10, 100)
    cache.add(record_id(1), "k", b"x" * 60)

    cache.add(record_id(2), "l", b"x" * 101)

    assert (len(cache), cache.bytes_held) == (0, 0)


@given(
    st.lists(st.tuples(st.integers(1, 12), st.sampled_from("klm"), st.integers(0, 40)), max_size=60)
)
def test_the_cache_stays_within_its_bounds_and_counts_right(
    added: list[tuple[int, str, int]],
) -> None:
    cache = FrameCache(5, 100)
    for seq, key, size in added:
        cache.add(record_id(seq), key, b"x" * size)

        held = {found for at in range(1, 13) if (found := cache.get(record_id(at))) is not None}
        assert len(cache) <= 5
        assert cache.bytes_held <= 100
        assert cache.bytes_held >= sum(len(frame) for _, frame in held)


def test_refused_records_are_waited_for_ever_longer() -> None:
    table = MissingTable(GossipLimits(refusals_max=3), lambda: 0.0)
    now, waits = 0.0, []
    while table.refused(table.arrived(record_id(1)), record_id(1), "a", now):
        refused_at, asked = now, {}
        while not asked:
            assert table.due_at is not None
            now = table.due_at
            asked = table.take_due(now, lambda node_id: 0.0)
        assert asked == {"a": [record_id(1)]}
        waits.append(now - refused_at)

    assert waits == [0.5, 1.0, 2.0]
    assert len(table) == 0


def test_many_nodes_behind_one_broken_link_do_not_ask_at_the_same_moment() -> None:
    dues = []
    for luck in (0.0, 0.5, 1.0):
        table = MissingTable(GossipLimits(), lambda luck=luck: luck)
        table.announced([record_id(1)], "a", 10.0)
        dues.append(table.due_at)

    assert dues == pytest.approx([10.5, 10.625, 10.75])


def test_a_place_in_the_table_is_free_again_when_the_record_came() -> None:
    table = MissingTable(GossipLimits(missing_max=2), lambda: 0.0)

    assert table.announced([record_id(seq) for seq in (1, 2, 3)], "a", 0.0) == 1
    assert table.announced([record_id(3)], "b", 0.0) == 0
    table.arrived(record_id(1))
    assert table.announced([record_id(4)], "a", 0.0) == 0
    assert len(table) == 3
