"""Terms: whose records count, which version wins, and who waits for a victory."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from p2p.models import ParkedRecord
from p2p.models import Record as StoredRecord
from p2p.protocol.codec import Received
from p2p.protocol.errors import DomainError
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Record
from p2p.protocol.signing import open_sealed, seal
from p2p.protocol.timestamps import to_timestamp
from p2p.record_store import TopicStore
from p2p.registration import Authority, registry, topic_named
from swarm.models import KnownTerm, RemoteAgent, TaskCopy
from swarm.replication import agents, authority, tasks, terms
from swarm.replication.messages import (
    AGENTS,
    TASKS,
    AgentBody,
    AgentRegister,
    ElectionVictory,
    TaskBody,
    TaskUpdate,
    Term,
)
from tests.support.cluster import NETWORK, START, Cluster, SimNode

LOW, HIGH = sorted(
    (Identity.from_seed(bytes([n]) * 32) for n in (1, 2)), key=lambda each: each.node_id
)
START_MS = int(START.timestamp() * 1000)
TASK_ID = uuid.UUID(int=7).hex


def signed(message_class: type[Record], who: Identity, seq: int, **fields: Any) -> Received:
    fields = {"lamport_ts": START_MS + seq, "incarnation": 1, "seq": seq, **fields}
    message = message_class(origin=who.node_id, public_key=who.public_key_text, **fields)
    return open_sealed(seal(message, who, NETWORK), NETWORK, registry)


def victory(who: Identity, counter: int, seq: int = 1, swarm: str = "home") -> Received:
    term = Term(counter=counter, node_id=who.node_id)
    return signed(ElectionVictory, who, seq, swarm=swarm, term=term, addresses=[], http_port=0)


def a_task(who: Identity, counter: int, title: str, seq: int = 2, **fields: Any) -> Received:
    body = TaskBody(
        id=TASK_ID,
        title=title,
        status="pending",
        repository="/srv/r.git",
        created_by=who.node_id,
        created_at=to_timestamp(START),
        updated_at=to_timestamp(START),
    )
    term = Term(counter=counter, node_id=who.node_id)
    return signed(TaskUpdate, who, seq, **{"term": term, "task": body, **fields})


def take(*records: Received) -> None:
    TopicStore(topic_named(TASKS), START).apply((), list(records))


def titles() -> list[str]:
    return [copy.body["title"] for copy in TaskCopy.objects.all()]


@pytest.fixture
def worker(cluster: Cluster) -> SimNode:
    return cluster.add("worker", swarm="home", role="worker")


def test_a_task_waits_for_the_victory_of_its_emperor(cluster: Cluster, worker: SimNode) -> None:
    with cluster.acting(worker):
        take(a_task(LOW, 1, "early"))
        assert (titles(), ParkedRecord.objects.count()) == ([], 1)

        take(victory(LOW, 1))

        assert (titles(), ParkedRecord.objects.count()) == (["early"], 0)


def test_a_task_and_its_victory_may_come_together(cluster: Cluster, worker: SimNode) -> None:
    with cluster.acting(worker):
        take(a_task(LOW, 1, "same page"), victory(LOW, 1))

        assert titles() == ["same page"]


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        (("LOW", 1), ("HIGH", 2), "HIGH"),
        (("HIGH", 2), ("LOW", 1), "HIGH"),
        (("HIGH", 1), ("LOW", 1), "LOW"),
        (("LOW", 1), ("HIGH", 1), "LOW"),
    ],
)
def test_the_higher_term_wins_whatever_the_clocks_say_and_whoever_comes_first(
    cluster: Cluster,
    worker: SimNode,
    first: tuple[str, int],
    second: tuple[str, int],
    winner: str,
) -> None:
    people = {"LOW": LOW, "HIGH": HIGH}
    with cluster.acting(worker):
        take(victory(LOW, 1), victory(HIGH, 2))
        for name, counter in (first, second):
            late = 0 if name == winner else 60_000
            take(a_task(people[name], counter, name, lamport_ts=START_MS + late))

        assert titles() == [winner]
        assert StoredRecord.objects.get(key=TASK_ID).origin == people[winner].node_id


def test_nobody_speaks_for_another_emperor(cluster: Cluster, worker: SimNode) -> None:
    other = Term(counter=1, node_id=HIGH.node_id)
    with cluster.acting(worker):
        take(victory(HIGH, 1))
        take(a_task(LOW, 1, "forged", term=other))
        take(signed(ElectionVictory, LOW, 9, swarm="home", term=other, addresses=[], http_port=0))

        assert titles() == []
        assert not ParkedRecord.objects.exists()
        assert list(KnownTerm.objects.values_list("node_id", flat=True)) == [HIGH.node_id]


@pytest.mark.parametrize(("counter", "believed"), [(1001, True), (1002, False)])
def test_a_jump_of_more_than_a_thousand_terms_is_refused(
    cluster: Cluster, worker: SimNode, counter: int, believed: bool
) -> None:
    with cluster.acting(worker):
        take(victory(LOW, 1))
        take(victory(HIGH, counter))

        highest = terms.highest_term()
        assert highest is not None
        assert highest.counter == (counter if believed else 1)


def test_a_date_that_does_not_exist_costs_its_record_only(
    cluster: Cluster, worker: SimNode
) -> None:
    bad = a_task(LOW, 1, "bad")
    body = {name: getattr(bad.message.task, name) for name in TaskBody.__struct_fields__}
    impossible = TaskBody(**{**body, "id": uuid.uuid4().hex, "created_at": "2026-02-31T00:00:00Z"})
    with cluster.acting(worker):
        take(
            victory(LOW, 1),
            a_task(LOW, 1, "never", seq=2, task=impossible),
        )
        take(a_task(LOW, 1, "good", seq=3), a_task(LOW, 1, "never", seq=4, task=impossible))

        assert titles() == ["good"]


def registered(who: Identity, name: str, swarm: str = "home") -> Received:
    body = AgentBody(
        id=TASK_ID,
        node_id=who.node_id,
        swarm=swarm,
        name=name,
        tool="shell",
        status="ready",
        status_since=to_timestamp(START),
        available=True,
        registered_at=to_timestamp(START),
    )
    return signed(AgentRegister, who, 1, agent=body)


@pytest.mark.parametrize(("swarm", "highest"), [("home", 4), ("elsewhere", 1)])
def test_an_emperor_of_another_swarm_is_not_believed(
    cluster: Cluster, worker: SimNode, swarm: str, highest: int
) -> None:
    with cluster.acting(worker):
        take(victory(LOW, 1), victory(HIGH, 4, swarm=swarm))
        take(a_task(HIGH, 4, "foreign"))

        known = terms.highest_term()
        assert known is not None
        assert known.counter == highest
        assert titles() == (["foreign"] if swarm == "home" else [])


@pytest.mark.parametrize(("swarm", "names"), [("home", ["theirs"]), ("elsewhere", [])])
def test_an_agent_of_another_swarm_is_not_offered_work(
    cluster: Cluster, worker: SimNode, swarm: str, names: list[str]
) -> None:
    with cluster.acting(worker):
        TopicStore(topic_named(AGENTS), START).apply((), [registered(LOW, "theirs", swarm)])

        assert [row.name for row in RemoteAgent.objects.all()] == names


def test_an_agents_id_cannot_be_taken_over(cluster: Cluster, worker: SimNode) -> None:
    with cluster.acting(worker):
        for claimed in (registered(LOW, "mine"), registered(HIGH, "stolen")):
            agents.apply_records([claimed.message], START)

        assert [(row.name, row.node_id) for row in RemoteAgent.objects.all()] == [
            ("mine", LOW.node_id)
        ]
        assert agents.authority_of(registered(LOW, "x").message) is Authority.APPLY


def test_an_emperor_goes_on_above_what_it_has_forgotten(cluster: Cluster) -> None:
    emperor = cluster.add("emperor", swarm="home")
    me = emperor.local.identity
    with cluster.acting(emperor):
        assert terms.take_office(START).counter == 1
        take(victory(me, 3, seq=40))

        assert terms.own_term(START).counter == 4


def test_an_emperor_after_another_one_takes_the_next_term(cluster: Cluster) -> None:
    emperor = cluster.add("emperor", swarm="home")
    with cluster.acting(emperor):
        take(victory(LOW, 4))

        assert terms.take_office(START).counter == 5
        assert terms.take_office(START + timedelta(days=1)).counter == 5


def test_a_worker_takes_work_of_the_highest_term_only(cluster: Cluster, worker: SimNode) -> None:
    with cluster.acting(worker):
        with pytest.raises(DomainError) as unknown:
            authority.check_assigner(LOW.node_id, Term(counter=1, node_id=LOW.node_id))
        take(victory(LOW, 1), victory(HIGH, 2))

        authority.check_assigner(HIGH.node_id, Term(counter=2, node_id=HIGH.node_id))
        with pytest.raises(DomainError) as stale:
            authority.check_assigner(LOW.node_id, Term(counter=1, node_id=LOW.node_id))
        with pytest.raises(DomainError) as stranger:
            authority.check_assigner(LOW.node_id, Term(counter=2, node_id=HIGH.node_id))

    codes = [each.value.code for each in (unknown, stale, stranger)]
    assert codes == ["unknown_term", "stale_term", "not_allowed"]


def test_copies_that_may_be_out_of_date_are_dropped(cluster: Cluster, worker: SimNode) -> None:
    with cluster.acting(worker):
        take(victory(LOW, 1), a_task(LOW, 1, "old"))
        take(a_task(LOW, 1, "old"))

        tasks.forget([TASK_ID, f"victory-{LOW.node_id}"], START)

        assert titles() == []
