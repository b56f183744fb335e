"""An emperor that gives the office up: whoever follows takes its tasks at once."""

from __future__ import annotations

import pytest

from p2p.protocol.errors import DomainError
from swarm.election.abdication import abdicate
from swarm.errors import NotEmperor
from swarm.replication.heartbeats import beat
from swarm.replication.messages import Term
from tests.support.electing import Elections
from tests.swarm.election.test_office import a_goal, goals_of


@pytest.fixture(autouse=True)
def signs_of_life(elections: Elections) -> None:
    """Let each of the members have given one."""
    for node in elections.members:
        with elections.cluster.acting(node):
            beat(elections.cluster.now)
    elections.turn()


def test_another_takes_over_within_the_candidacy(elections: Elections) -> None:
    emperor, *others = elections.members
    heir = min(others, key=lambda node: node.node_id)
    goal = a_goal(elections, emperor)
    elections.turn()
    with elections.cluster.acting(emperor):
        abdicate(elections.cluster.now)

    elections.turn()
    assert elections.emperors() == []
    assert elections.state(emperor).emperor_node_id == ""
    elections.run(6)

    assert elections.emperors() == [heir.name]
    assert goals_of(elections, heir) == [goal.id.hex]
    assert goals_of(elections, emperor) == []
    assert elections.term(emperor) == Term(counter=2, node_id=heir.node_id)


def test_who_gave_the_office_up_takes_it_again_when_nobody_else_does(elections: Elections) -> None:
    emperor, *others = elections.members
    goal = a_goal(elections, emperor)
    with elections.cluster.acting(emperor):
        abdicate(elections.cluster.now)
    for node in others:
        elections.fell(node)

    elections.run(55, step_s=5.0)
    assert elections.emperors() == [node.name for node in elections.members[:0]]
    elections.run(20, step_s=5.0)

    assert elections.acts(emperor)
    assert elections.term(emperor) == Term(counter=2, node_id=emperor.node_id)
    assert goals_of(elections, emperor) == [goal.id.hex]


def test_only_an_emperor_with_a_successor_can_give_the_office_up(elections: Elections) -> None:
    emperor, member, other = elections.members
    with elections.cluster.acting(member), pytest.raises(NotEmperor) as refused:
        abdicate(elections.cluster.now)
    assert refused.value.emperor_node_id == emperor.node_id
    for node in (member, other):
        elections.fell(node)
    elections.run(40, step_s=5.0)

    with elections.cluster.acting(emperor), pytest.raises(DomainError) as alone:
        abdicate(elections.cluster.now)
    assert alone.value.code == "no_successor"
