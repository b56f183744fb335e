"""Taking and leaving office: real machines, databases and signed messages of several members."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from p2p.models import KnownNode, OutboxKind, OutboxMessage
from p2p.registration import number_of
from swarm.election import office, participation
from swarm.models import KnownTerm, Task
from swarm.replication import terms
from swarm.replication.messages import EmperorHeartbeat, Term
from swarm.services.goals import GoalRequest, create_goal
from tests.support.cluster import Cluster, SimNode
from tests.support.electing import Elections
from tests.support.trading import outline


def lowest(nodes: list[SimNode]) -> SimNode:
    return min(nodes, key=lambda node: node.node_id)


def a_goal(elections: Elections, node: SimNode) -> Task:
    with elections.cluster.acting(node):
        request = GoalRequest(description=outline(1), repository="/srv/remote.git")
        return create_goal(request, now=elections.cluster.now)


def goals_of(elections: Elections, node: SimNode) -> list[str]:
    with elections.cluster.acting(node):
        return [task.id.hex for task in Task.objects.filter(parent__isnull=True)]


def test_the_role_emperor_takes_office_at_its_first_look(elections: Elections) -> None:
    emperor, *others = elections.members

    assert elections.emperors() == ["emperor"]
    assert elections.term(emperor) == Term(counter=1, node_id=emperor.node_id)
    for member in others:
        assert elections.term(member) == elections.term(emperor)
        assert elections.state(member).emperor_node_id == emperor.node_id
        assert elections.state(member).standing == "follower"


def test_members_elect_another_when_the_emperor_is_silent_and_it_steps_down_when_it_is_back(
    elections: Elections,
) -> None:
    emperor, *others = elections.members
    heir = lowest(others)
    goal = a_goal(elections, emperor)
    elections.turn()

    elections.fell(emperor)
    elections.run(29)
    assert [elections.acts(node) for node in others] == [False, False]
    elections.run(8)

    assert [node.name for node in others if elections.acts(node)] == [heir.name]
    assert elections.term(heir) == Term(counter=2, node_id=heir.node_id)
    assert goals_of(elections, heir) == [goal.id.hex]
    assert elections.acts(emperor)  # it sleeps, and knows nothing of it

    elections.revive(emperor)
    elections.run(1)

    assert elections.emperors() == [heir.name]
    assert goals_of(elections, emperor) == []
    assert elections.state(emperor).emperor_node_id == heir.node_id
    for node in elections.members:
        assert elections.term(node) == Term(counter=2, node_id=heir.node_id)


def test_two_emperors_that_meet_become_one_whatever_each_was_given(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    elections = Elections.open(cluster, monkeypatch, {"one": "emperor", "two": "emperor"})
    one, two = elections.members
    elections.cut(one)
    elections.run(1)
    assert elections.emperors() == ["one", "two"]
    goals = {node.name: a_goal(elections, node).id.hex for node in elections.members}

    cluster.cut.clear()
    elections.run(12)

    left = lowest([one, two])  # equal counters: the lower node id counts
    assert elections.emperors() == [left.name]
    assert goals_of(elections, left) == [goals[left.name]]  # it was not told of the other's yet
    for topic_of, to in ((one, two), (two, one)):
        cluster.sync(to, topic_of, "tasks")
    with cluster.acting(left):
        office.adopt_late(cluster.now)
    assert set(goals_of(elections, left)) == set(goals.values())


def test_whoever_is_in_office_at_a_crash_goes_on_with_the_same_term(elections: Elections) -> None:
    emperor = elections.members[0]

    due = elections.restart(emperor)

    assert due.acts
    assert elections.term(emperor) == Term(counter=1, node_id=emperor.node_id)


def test_an_emperor_that_starts_anew_keeps_its_term_and_asks_the_members_it_knows(
    elections: Elections,
) -> None:
    emperor, *others = elections.members
    goal = a_goal(elections, emperor)
    for member in others:
        elections.meet(emperor, member)

    due = elections.restart(emperor)

    assert not due.acts
    assert elections.emperors() == []
    elections.run(6)
    assert elections.emperors() == ["emperor"]
    assert elections.term(emperor) == Term(counter=1, node_id=emperor.node_id)
    assert goals_of(elections, emperor) == [goal.id.hex]


def test_an_emperor_that_starts_anew_after_its_heir_took_office_does_nothing_in_between(
    elections: Elections,
) -> None:
    emperor, *others = elections.members
    elections.meet(emperor, others[0])
    elections.fell(emperor)
    elections.run(40)

    elections.revive(emperor)
    due = elections.restart(emperor)

    assert not due.acts
    elections.run(40)
    assert elections.emperors() == [lowest(others).name]
    assert elections.state(emperor).emperor_node_id == lowest(others).node_id


def test_defect_10_an_emperor_that_hears_nobody_stays_in_office(elections: Elections) -> None:
    emperor, *others = elections.members
    for node in others:
        elections.fell(node)

    elections.run(120, step_s=5.0)

    assert elections.acts(emperor)
    assert elections.term(emperor) == Term(counter=1, node_id=emperor.node_id)


def test_defect_10_a_paused_emperor_does_not_act_before_it_has_asked(elections: Elections) -> None:
    emperor, *others = elections.members
    for node in others:
        elections.fell(node)
    goal = a_goal(elections, emperor)
    elections.cluster.now += timedelta(minutes=10)

    elections.tick(emperor)

    assert not elections.acts(emperor)
    assert elections.state(emperor).standing == "doubtful"
    assert goals_of(elections, emperor) == [goal.id.hex]  # kept: it may be emperor still
    elections.run(6)
    assert elections.acts(emperor)
    assert elections.term(emperor) == Term(counter=1, node_id=emperor.node_id)


@pytest.mark.parametrize(
    ("role", "acts_at_once"), [("emperor", True), ("worker", False)], ids=["emperor", "worker"]
)
def test_a_swarm_of_one_elects_itself(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, role: str, acts_at_once: bool
) -> None:
    elections = Elections.open(cluster, monkeypatch, {})
    alone = cluster.add("alone", role=role)
    elections.members.append(alone)

    elections.run(1)
    assert elections.acts(alone) is acts_at_once
    elections.run(37)

    assert elections.acts(alone)
    assert elections.term(alone) == Term(counter=1, node_id=alone.node_id)
    with cluster.acting(alone):
        assert not OutboxMessage.objects.filter(kind=OutboxKind.FLOODED).exists()


def test_who_must_not_stand_never_does(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    elections = Elections.open(cluster, monkeypatch, {})
    elections.members.append(cluster.add("mute", swarm="home", role="emperor", candidate="off"))

    elections.run(200, step_s=5.0)

    assert elections.emperors() == []


def test_a_lasting_emperor_writes_its_row_once(elections: Elections) -> None:
    emperor, member, _ = elections.members
    with elections.cluster.acting(member):
        before = KnownTerm.objects.get(node_id=emperor.node_id)

    elections.run(60, step_s=5.0)

    with elections.cluster.acting(member):
        after = KnownTerm.objects.get(node_id=emperor.node_id)
    assert (after.known_at, after.counter) == (before.known_at, before.counter)
    heard_at = elections.state(member).heard_at
    assert heard_at is not None
    assert elections.cluster.now - heard_at <= timedelta(seconds=10)


def test_what_could_not_be_stored_is_not_believed_to_have_been(
    elections: Elections, monkeypatch: pytest.MonkeyPatch
) -> None:
    emperor, *others = elections.members
    elections.fell(emperor)
    heir = lowest(others)
    while elections.state(heir).standing != "candidate":
        elections.run(1)

    def fails(term: Term, now: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(office, "take", fails)
        elections.cluster.now += timedelta(seconds=6)
        with pytest.raises(RuntimeError):
            elections.tick(heir)
        assert not elections.acts(heir)
    elections.tick(heir)

    assert elections.acts(heir)


def test_what_a_change_brings_is_tried_again_until_it_is_done(
    elections: Elections, monkeypatch: pytest.MonkeyPatch
) -> None:
    emperor = elections.members[0]
    goal = a_goal(elections, emperor)
    settle = office.settle

    def fails(now: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(office, "settle", fails)
        due = elections.restart(emperor)
        assert due.acts
        assert due.in_s <= participation.RETRY_S
    calls: list[Any] = []
    monkeypatch.setattr(office, "settle", lambda now: (calls.append(now), settle(now)))

    elections.tick(emperor)
    elections.tick(emperor)

    assert len(calls) == 1
    assert goals_of(elections, emperor) == [goal.id.hex]


def test_every_member_shows_who_is_emperor_now_and_not_who_said_so_at_first(
    elections: Elections,
) -> None:
    emperor, *others = elections.members
    heir = lowest(others)
    [follower] = [node for node in others if node is not heir]
    elections.meet(follower, emperor, role="emperor")
    elections.meet(follower, heir)

    elections.fell(emperor)
    elections.run(37)

    with elections.cluster.acting(follower):
        assert dict(KnownNode.objects.values_list("node_id", "role")) == {
            emperor.node_id: "worker",
            heir.node_id: "emperor",
        }


def test_browsers_are_told_of_every_change(elections: Elections) -> None:
    emperor, *others = elections.members
    heir = lowest(others)
    elections.fell(emperor)
    elections.run(37)

    with elections.cluster.acting(heir):
        events = [
            (row["event"], row["standing"], row["emperor"], row["term"])
            for row in OutboxMessage.objects.filter(kind=OutboxKind.EVENT)
            .order_by("id")
            .values_list("event", flat=True)
            if row["type"] == "election_update"
        ]
    assert events[-3:] == [
        ("follower", "follower", emperor.node_id, 1),
        ("candidate", "candidate", None, 1),
        ("emperor", "emperor", heir.node_id, 2),
    ]


def test_runs_are_redirected_once_for_each_emperor(
    elections: Elections, monkeypatch: pytest.MonkeyPatch
) -> None:
    emperor, *others = elections.members
    heir = lowest(others)
    [follower] = [node for node in others if node is not heir]
    told: list[tuple[str, str]] = []
    follow = office.follow

    def spy(emperor_node_id: str, now: Any) -> None:
        told.append((terms.local_node().node_id, emperor_node_id))
        follow(emperor_node_id, now)

    monkeypatch.setattr(office, "follow", spy)
    elections.fell(emperor)
    elections.run(60, step_s=5.0)
    elections.restart(follower)

    assert told == [(follower.node_id, heir.node_id)]


def test_a_term_that_was_forgotten_with_the_database_is_not_used_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    elections = Elections.open(cluster, monkeypatch, {"emperor": "emperor", "other": "worker"})
    emperor, other = elections.members
    with cluster.acting(emperor):
        for counter in (1, 2, 3):
            terms.take_office(cluster.now, counter)
    elections.turn()
    with cluster.acting(emperor):
        KnownTerm.objects.all().delete()
        elections.restart(emperor)
        assert terms.own_term(cluster.now).counter == 1

    elections.cluster.now += timedelta(seconds=1)
    cluster.sync(emperor, other, "tasks")
    elections.turn()

    assert elections.term(emperor) == Term(counter=4, node_id=emperor.node_id)
    assert elections.emperors() == ["emperor"]


def test_a_new_emperor_is_told_of_before_anything_is_done_for_its_tasks(
    elections: Elections,
) -> None:
    emperor, *others = elections.members
    heir = lowest(others)
    goal = a_goal(elections, emperor)
    elections.turn()
    elections.fell(emperor)
    elections.run(30)
    elections.cluster.now += timedelta(seconds=6)

    with elections.cluster.acting(heir):
        due = participation.tick(elections.cluster.now, follow_up=False)
        assert (due.acts, due.settled) == (True, False)
        waiting = OutboxMessage.objects.filter(kind=OutboxKind.FLOODED, done_at__isnull=True)
        assert number_of(EmperorHeartbeat) in waiting.values_list("number", flat=True)
        assert not Task.objects.exists()
        assert participation.tick(elections.cluster.now).settled
    assert goals_of(elections, heir) == [goal.id.hex]
