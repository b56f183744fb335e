"""What a hostile peer can do: take bounded room, and none that others need."""

from __future__ import annotations

from p2p.gossip.effects import Count
from p2p.gossip.ids import RecordId, grouped
from p2p.gossip.plumtree import Plumtree
from p2p.protocol.messages import IHave, IWant
from tests.support.gossip_machine import ORIGIN, A, B, ids_of, machine, say, sent, take
from tests.support.gossip_net import frame


def flood(node: Plumtree, giver: str, frames: int, now: float = 0.0) -> None:
    for each in range(frames):
        first = each * 1_000 + 1
        ids = grouped(RecordId("e" * 32, "notes", 1, seq) for seq in range(first, first + 1_000))
        say(node, giver, IHave(ids=ids), now)


def test_invented_ids_take_bounded_room_and_are_given_up() -> None:
    node = machine(A, B)

    flood(node, A, 20)
    assert len(node._missing) == 4_000
    asked = sent(node.tick(1.0))
    node.tick(2.0)

    assert [len(want.ids[0].seqs) for _, want in asked] == [1_000] * 4
    assert (len(node._missing), node.due_at) == (0, None)


def test_invented_ids_leave_room_for_those_of_others() -> None:
    node = machine(A, B)
    flood(node, A, 20)

    say(node, B, IHave(ids=ids_of(frame(ORIGIN, 1))))

    assert (B, IWant(ids=ids_of(frame(ORIGIN, 1)), graft=True)) in sent(node.tick(1.0))


def test_who_wants_too_much_is_answered_at_a_bounded_rate() -> None:
    node = machine(A, B, wanted_ids_burst=10, wanted_ids_per_s=5)
    for seq in range(1, 41):
        take(node, frame(ORIGIN, seq), A)
    want = IWant(ids=ids_of(*(frame(ORIGIN, seq) for seq in range(1, 41))), graft=False)

    answers = [say(node, B, want, now) for now in (0.0, 0.0, 2.2)]

    # A bucket is empty when it is in debt, hence one more than the burst.
    assert [len(sent(each)) for each in answers] == [11, 0, 11]
    detail = "it asks for too much at once, 40 records are left out"
    assert answers[1] == [Count("iwant_limited", B, detail)]
    assert len(sent(say(node, A, want, 2.2))) == 11


def test_who_wants_large_frames_is_answered_a_bounded_number_of_bytes() -> None:
    node = machine(A, B, wanted_bytes_burst=1_000, wanted_bytes_per_s=1_000)
    for seq in range(1, 11):
        take(node, frame(ORIGIN, seq), A)
    frame_bytes = len(frame(ORIGIN, 1).raw)
    want = IWant(ids=ids_of(*(frame(ORIGIN, seq) for seq in range(1, 11))), graft=False)

    answered = len(sent(say(node, B, want)))

    assert answered * frame_bytes > 1_000 >= (answered - 1) * frame_bytes


def test_a_flood_of_signed_records_leaves_bounded_tables_behind() -> None:
    node = machine(A, B, seen_max=50, cached_ids_max=40, cached_bytes_max=5_000, origins_max=3)
    for origin in range(2, 8):
        for seq in range(1, 31):
            take(node, frame(origin, seq), A)
        node.tick(1.0)

    assert (len(node._seen), len(node._pushed)) == (50, 3)
    assert len(node._cache) <= 40
    assert node._cache.bytes_held <= 5_000
    assert node._announcements.due_at is None
