"""The rules of one node, frame by frame."""

from __future__ import annotations

from typing import Any

import pytest

from p2p.gossip.effects import Count, Fetch, OwnRecordAhead, Send
from p2p.gossip.ids import RecordId, grouped, id_of
from p2p.protocol.codec import Received, encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.messages import IHave, IWant, Prune
from tests.support.gossip_machine import (
    ORIGIN,
    OWN,
    STRANGER,
    A,
    B,
    C,
    ids_of,
    machine,
    say,
    sent,
    take,
)
from tests.support.gossip_net import WALL_MS, decoded, frame
from tests.support.wire import hello_of, identity_number, sealed_note


def test_a_new_record_goes_to_the_eager_at_once_and_its_id_to_the_lazy_later() -> None:
    node = machine(A, B, C, eager_max=2)

    assert sent(take(node, frame(ORIGIN, 1), A)) == [(B, 1)]
    assert node.due_at is not None and 0.05 <= node.due_at <= 0.15
    assert node.tick(0.04) == []
    assert sent(node.tick(0.15)) == [(C, IHave(ids=ids_of(frame(ORIGIN, 1))))]
    assert node.due_at is None


def test_the_bytes_that_were_signed_are_handed_on() -> None:
    node = machine(A, B)

    [send] = take(node, frame(ORIGIN, 1), A)

    assert isinstance(send, Send)
    assert send.payload is frame(ORIGIN, 1).raw


def test_a_duplicate_is_dropped_unverified_and_prunes_its_link() -> None:
    node = machine(A, B)
    take(node, frame(ORIGIN, 1), A)
    forged = Received(frame(ORIGIN, 1).message, b"not what was signed")

    effects = node.receive(B, forged, 1.0)

    assert effects[0] == Count("seen")
    assert sent(effects) == [(B, Prune(scope="network"))]
    assert node.eager("network") == [A]
    assert sent(take(node, frame(ORIGIN, 2), A)) == []


def test_a_peer_is_pruned_once_a_second_at_most() -> None:
    node = machine(A, B)
    take(node, frame(ORIGIN, 1), A)

    prunes = [len(sent(node.receive(B, frame(ORIGIN, 1), at))) for at in (1.0, 1.5, 1.99, 2.0)]

    assert prunes == [1, 0, 0, 1]


def test_the_same_peer_sending_twice_is_not_pruned() -> None:
    node = machine(A, B)
    take(node, frame(ORIGIN, 1), A)

    assert node.receive(A, frame(ORIGIN, 1), 1.0) == [Count("seen")]
    assert node.eager("network") == [A, B]


def test_no_link_is_pruned_in_favour_of_one_that_was_pruned_meanwhile() -> None:
    node = machine(A, B, C)
    take(node, frame(ORIGIN, 1), A)
    take(node, frame(ORIGIN, 2), B)
    node.receive(B, frame(ORIGIN, 1), 0.0)

    assert node.receive(A, frame(ORIGIN, 2), 0.0) == [Count("seen")]
    assert node.eager("network") == [A, C]


def test_who_prunes_us_gets_ids_from_now_on() -> None:
    node = machine(A, B)

    assert say(node, B, Prune(scope="network")) == []
    assert sent(take(node, frame(ORIGIN, 1), A)) == []
    assert sent(node.tick(1.0)) == [(B, IHave(ids=ids_of(frame(ORIGIN, 1))))]


def test_who_grafts_gets_the_record_and_all_later_ones() -> None:
    node = machine(A, B, eager_max=1)
    take(node, frame(ORIGIN, 1), A)

    answer = say(node, B, IWant(ids=ids_of(frame(ORIGIN, 1)), graft=True))

    assert sent(answer) == [(B, 1)]
    assert sent(take(node, frame(ORIGIN, 2), A)) == [(B, 2)]


def test_who_only_wants_stays_lazy() -> None:
    node = machine(A, B, eager_max=1)
    take(node, frame(ORIGIN, 1), A)

    say(node, B, IWant(ids=ids_of(frame(ORIGIN, 1)), graft=False))

    assert node.eager("network") == [A]


def test_an_announced_record_that_does_not_come_is_asked_for_at_one_after_the_other() -> None:
    node = machine(A, B, C, latency_ms={A: None, B: 9.0, C: 2.0}.get)
    missed = frame(ORIGIN, 1)
    for each in (A, B, C):
        say(node, each, IHave(ids=ids_of(missed)))
    want = IWant(ids=ids_of(missed), graft=True)

    assert node.tick(0.49) == []
    asked = [sent(node.tick(at)) for at in (0.76, 1.0, 1.3, 1.9, 2.5)]

    assert asked == [[(C, want)], [], [(B, want)], [(A, want)], []]
    assert node.due_at is None


def test_an_announced_record_that_comes_is_not_asked_for() -> None:
    node = machine(A, B)
    say(node, B, IHave(ids=ids_of(frame(ORIGIN, 1))))

    # B has it: it gets neither the record nor its id.
    assert sent(take(node, frame(ORIGIN, 1), A)) == []
    assert sent(node.tick(5.0)) == []


def test_a_single_loss_is_asked_for_without_graft() -> None:
    node = machine(A, B, eager_max=1)
    say(node, B, IHave(ids=ids_of(frame(ORIGIN, 1))))
    take(node, frame(ORIGIN, 2), A)

    asked = [each for each in sent(node.tick(1.0)) if isinstance(each[1], IWant)]

    assert asked == [(B, IWant(ids=ids_of(frame(ORIGIN, 1)), graft=False))]
    assert node.eager("network") == [A]


def test_a_peer_that_is_gone_is_not_asked() -> None:
    node = machine(A, B)
    say(node, A, IHave(ids=ids_of(frame(ORIGIN, 1))))
    say(node, B, IHave(ids=ids_of(frame(ORIGIN, 1))))
    node.peer_down(A)

    assert [to for to, _ in sent(node.tick(1.0))] == [B]


def test_a_superseded_record_is_answered_by_its_successor_and_announced_no_more() -> None:
    node = machine(A, B, eager_max=1)
    older, newer = frame(ORIGIN, 1, key=9), frame(ORIGIN, 2, key=9)
    take(node, older, A)
    take(node, newer, A)

    answer = say(node, B, IWant(ids=ids_of(older, newer), graft=False))

    assert sent(answer) == [(B, 2)]
    assert sent(node.tick(1.0)) == [(B, IHave(ids=ids_of(newer)))]


def test_what_the_cache_has_not_is_looked_for_in_the_store() -> None:
    node = machine(A)
    unknown = frame(ORIGIN, 1)

    assert say(node, A, IWant(ids=ids_of(unknown), graft=False)) == [
        Fetch(A, (id_of(unknown.message),))
    ]


def test_own_records_are_published_once() -> None:
    node = machine(A, B)

    assert sent(node.publish(frame(OWN, 1), 0.0)) == [(A, 1), (B, 1)]
    assert node.publish(frame(OWN, 1), 0.0) == []


def test_own_records_go_to_somebody_at_once_even_when_all_have_pruned_us() -> None:
    node = machine(A, B, latency_ms={A: 5.0, B: 3.0}.get)
    for each in (A, B):
        say(node, each, Prune(scope="network"))

    assert sent(node.publish(frame(OWN, 1), 0.0)) == [(B, 1)]


def test_an_own_record_that_comes_back_prunes_the_link_it_came_over() -> None:
    node = machine(A, B)
    node.publish(frame(OWN, 1), 0.0)

    effects = node.receive(B, frame(OWN, 1), 0.0)

    assert effects[0] == Count("own_record")
    assert sent(effects) == [(B, Prune(scope="network"))]


def test_own_records_ahead_of_ours_are_reported_once_and_never_delivered() -> None:
    node = machine(A, B)
    node.publish(frame(OWN, 2), 0.0)

    assert node.receive(A, frame(OWN, 1), 0.0) == [Count("own_record")]
    assert node.receive(A, frame(OWN, 7), 0.0) == [
        Count("own_record"),
        OwnRecordAhead(frame(OWN, 7).message),
    ]
    assert node.receive(B, frame(OWN, 7), 0.0) == [Count("own_record")]
    assert node.receive(B, frame(OWN, 6), 0.0) == [Count("own_record")]


def test_own_records_ahead_count_only_when_we_signed_them() -> None:
    node = machine(A)
    forged = frame(OWN, 7).raw.replace(b'"hi"', b'"ho"')

    with pytest.raises(ProtocolError, match="bad_signature"):
        node.receive(A, decoded(forged), 0.0)


def test_announced_records_of_our_own_are_asked_for_only_when_they_are_ahead() -> None:
    node = machine(A)
    node.publish(frame(OWN, 5), 0.0)

    say(node, A, IHave(ids=ids_of(frame(OWN, 4), frame(OWN, 5), frame(OWN, 6))))

    assert sent(node.tick(1.0))[-1] == (A, IWant(ids=ids_of(frame(OWN, 6)), graft=True))


def test_a_swarms_records_are_neither_taken_from_strangers_nor_named_to_them() -> None:
    node = machine(A, B, STRANGER)
    secret = frame(ORIGIN, 1, scope="swarm")

    assert node.receive(STRANGER, secret, 0.0) == [Count("not_a_member")]
    assert sent(take(node, secret, A)) == [(B, 1)]
    assert sent(node.tick(1.0)) == []
    assert say(node, STRANGER, IWant(ids=ids_of(secret), graft=True)) == []
    assert say(node, STRANGER, IHave(ids=ids_of(frame(ORIGIN, 2, scope="swarm")))) == []
    assert node.due_at is None
    assert node.eager("swarm") == [A, B]


def test_a_member_that_prunes_for_the_swarm_stays_eager_for_the_network() -> None:
    node = machine(A, B)

    say(node, B, Prune(scope="swarm"))

    assert (node.eager("network"), node.eager("swarm")) == ([A, B], [A])


def test_ids_of_topics_that_nobody_registered_are_ignored() -> None:
    node = machine(A)
    unknown = grouped([RecordId(ORIGIN * "e" * 16, "elsewhere", 1, 1)])

    assert say(node, A, IHave(ids=unknown)) == []
    assert say(node, A, IWant(ids=unknown, graft=True)) == []
    assert node.due_at is None


@pytest.mark.parametrize("kind", [IHave, lambda ids: IWant(ids=ids, graft=True)])
def test_more_than_1000_ids_in_a_frame_are_the_senders_fault(kind: Any) -> None:
    node = machine(A)
    groups = [
        *grouped(RecordId("e" * 32, "notes", 1, seq) for seq in range(1, 1_001)),
        *grouped([RecordId("f" * 32, "notes", 1, 1)]),
    ]
    say(node, A, kind(ids=groups[:1]))

    with pytest.raises(ProtocolError, match="malformed: 1001 ids in one frame, at most 1000"):
        say(node, A, kind(ids=groups))


def test_what_is_neither_signed_nor_gossip_is_the_senders_fault() -> None:
    with pytest.raises(ProtocolError, match="unexpected_message: Hello after the handshake"):
        say(machine(A), A, hello_of(identity_number(3)))


def test_a_record_too_far_ahead_is_not_remembered() -> None:
    node = machine(A)
    ahead = decoded(sealed_note(identity_number(ORIGIN), lamport_ts=WALL_MS + 600_001))

    detail = f"a frame in the name of {ahead.message.origin} is 600001 ms ahead of our clock"
    for _ in range(2):
        assert node.receive(A, ahead, 0.0) == [Count("too_far_ahead", A, detail)]


def test_a_full_list_of_ids_is_told_at_once() -> None:
    node = machine(A, B, eager_max=1)
    for seq in range(1, 1_001):
        take(node, frame(ORIGIN, seq), A)

    assert node.due_at == 0.0
    [(to, told)] = sent(node.tick(0.0))
    assert (to, len(told.ids), len(told.ids[0].seqs)) == (B, 1, 1_000)
    # A thousand ids of one origin take little more than their numbers.
    assert len(encode_message(told)) < 5_000


def test_defect_04_a_later_version_of_a_key_is_never_taken_for_a_duplicate() -> None:
    node = machine(A, B)

    spread = [sent(take(node, frame(ORIGIN, seq, key=9), A)) for seq in (1, 2, 3)]

    assert spread == [[(B, 1)], [(B, 2)], [(B, 3)]]
