"""Whole nodes that sync over real sockets, and peers that stay silent, flood or lie."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace as changed

from marketplace.messages import SYNC
from p2p.mesh.settings import PeerInfo
from p2p.models import Record
from p2p.protocol.codec import Received, decode_payload
from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import SYNC_REQUESTS_WAITING_MAX
from p2p.registration import Topic, registry
from p2p.sync.messages import MarkSlice, OriginMark, SyncRequest, SyncResponse
from p2p.sync.session import Outcome
from tests.support.cluster import Cluster, make_template
from tests.support.mesh_nodes import HOST, until
from tests.support.syncing_nodes import SyncingNode, equal

MakeNode = Callable[[str], SyncingNode]
LIAR = "f" * 32


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object) -> Path:
    path = tmp_path_factory.mktemp("template") / "node.sqlite3"
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        make_template(path)
    return path


@pytest.fixture
def database(django_db_blocker: object) -> Iterator[ThreadPoolExecutor]:
    with django_db_blocker.unblock(), ThreadPoolExecutor(1) as thread:  # type: ignore[attr-defined]
        yield thread


@pytest.fixture
async def make(
    tmp_path: Path, template: Path, database: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[MakeNode]:
    """Make nodes; all are stopped with the test. Their pauses between sessions are short."""
    monkeypatch.setattr("p2p.sync.schedule.SYNC_PAUSE_S", 0.05)
    cluster = Cluster(folder=tmp_path, template=template)
    made: list[SyncingNode] = []

    def make_node(name: str) -> SyncingNode:
        node = SyncingNode(cluster, name, database)
        made.append(node)
        return node

    yield make_node
    for node in made:
        await node.stop()
    await asyncio.get_running_loop().run_in_executor(database, cluster.close)


async def until_equal(*nodes: SyncingNode) -> None:
    async with asyncio.timeout(20):
        while not await equal(*nodes):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.02)


async def test_two_sides_of_a_partition_are_equal_after_one_round(make: MakeNode) -> None:
    one, other = make("one"), make("other")
    await one.start()
    await other.start()
    await one.announce(3)
    await other.announce(2)

    one.mesh.dial(HOST, other.mesh.port)
    await until_equal(one, other)

    assert (await one.offerings(), await other.offerings()) == (2, 3)
    assert await one.marks() == await other.marks()
    # Each pulled once, on connect, and nobody waited for the clock.
    assert (one.driver.counters["learned"], other.driver.counters["learned"]) == (2, 3)


async def test_what_was_learned_is_passed_on_at_once(make: MakeNode) -> None:
    first, middle, last = make("first"), make("middle"), make("last")
    for node in (first, middle, last):
        await node.start()
    middle.mesh.dial(HOST, last.mesh.port)
    await until(lambda: last.driver.counters["sessions"] and middle.driver.counters["sessions"])
    await first.announce(4)

    first.mesh.dial(HOST, middle.mesh.port)
    await until_equal(first, middle, last)

    assert await last.offerings() == 4
    assert len(last.mesh.peers()) == 1


async def test_a_seneschal_stores_nothing_and_is_asked_nothing(make: MakeNode) -> None:
    node = make("node")
    peer = PeerInfo("a" * 32, "home", True, "seneschal", HOST, 7100, 9090)

    node.driver.peer_up(peer)
    node.driver.peer_down(peer.node_id)

    assert node.driver._peers == {}
    node.driver.peer_up(dataclasses.replace(peer, role="worker"))
    assert set(node.driver._peers) == {peer.node_id}


async def test_many_records_come_in_pages(make: MakeNode) -> None:
    one, other = make("one"), make("other")
    await one.announce(250)
    await one.start()
    await other.start()

    other.mesh.dial(HOST, one.mesh.port)
    await until_equal(one, other)

    pages = [each for each in other.heard if isinstance(each, SyncResponse) and each.frames]
    assert [len(page.frames) for page in pages] == [100, 100, 50]
    assert await other.offerings() == 250


async def test_equal_nodes_say_little(make: MakeNode) -> None:
    one, other = make("one"), make("other")
    await one.start()
    await other.start()

    one.mesh.dial(HOST, other.mesh.port)
    await until(lambda: one.driver.counters["sessions"] and other.driver.counters["sessions"])

    answers = [each for each in one.heard if isinstance(each, SyncResponse)]
    assert [each.equal for each in answers] == [True]


class Wire:
    """A mesh whose one peer is the test."""

    def __init__(self) -> None:
        self.sent: list[Struct] = []
        self.blamed: list[tuple[str, str]] = []
        self.takes = True

    def send(self, node_id: str, payload: bytes) -> bool:
        received = decode_payload(payload, registry)
        assert isinstance(received, Received)
        self.sent.append(received.message)
        return self.takes

    def blame(self, node_id: str, error: ProtocolError) -> None:
        self.blamed.append((node_id, error.reason))

    def asked(self) -> list[SyncRequest]:
        return [each for each in self.sent if isinstance(each, SyncRequest)]


@pytest.fixture
async def node(make: MakeNode) -> SyncingNode:
    """A node whose mesh is replaced by the test, with one peer that may lie."""
    node = make("node")
    node.driver._neighbours = Wire()
    node._running = asyncio.create_task(node.driver.run())
    node.driver.peer_up(PeerInfo(LIAR, "home", True, "worker", HOST, 1, 0))
    return node


def wire_of(node: SyncingNode) -> Wire:
    wire = node.driver._neighbours
    assert isinstance(wire, Wire)
    return wire


def say(node: SyncingNode, message: SyncRequest | SyncResponse, by: str = LIAR) -> None:
    node.driver.on_neighbour(Received(message, b""), by)


async def first_question(node: SyncingNode) -> SyncRequest:
    await until(lambda: wire_of(node).asked())
    return wire_of(node).asked()[0]


async def test_a_silent_peer_costs_one_session(
    node: SyncingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2p.sync_driver.SYNC_ANSWER_TIMEOUT_S", 0.05)
    await first_question(node)

    await until(lambda: node.driver.counters["unanswered"] == 1)
    assert wire_of(node).blamed == []


async def test_a_peer_that_goes_away_ends_its_session(node: SyncingNode) -> None:
    await first_question(node)
    node.driver.peer_down(LIAR)

    await until(lambda: node.driver.counters["unanswered"] == 1)


async def test_an_answer_to_nothing_is_ignored(node: SyncingNode) -> None:
    say(node, SYNC.response(re=1, equal=True), by="e" * 32)
    assert node.driver.counters["not_shared"] == 1
    question = await first_question(node)
    say(node, SYNC.response(re=question.id, equal=True))
    await until(lambda: node.driver.counters["sessions"] == 1)

    say(node, SYNC.response(re=question.id, equal=True))

    assert node.driver.counters["unawaited"] == 1
    assert wire_of(node).blamed == []


async def test_a_liar_with_forged_frames_loses_its_link(node: SyncingNode, make: MakeNode) -> None:
    writer = make("writer")
    await writer.announce()
    frame = await writer.run(lambda: bytes(Record.objects.get().frame).decode())
    forged = frame.replace('"price_per_task":1', '"price_per_task":9')
    question = await first_question(node)
    say(node, SYNC.response(re=question.id))
    await until(lambda: len(wire_of(node).asked()) == 2)

    say(node, SYNC.response(re=2, frames=[forged]))

    await until(lambda: wire_of(node).blamed)
    assert wire_of(node).blamed == [(LIAR, "bad_signature")]
    assert await node.records() == 0


async def test_a_wrong_answer_is_the_peers_fault(node: SyncingNode) -> None:
    await first_question(node)
    say(node, SYNC.response(re=77))

    await until(lambda: wire_of(node).blamed)
    assert wire_of(node).blamed == [(LIAR, "malformed")]


async def test_a_nonsense_request_is_the_peers_fault(node: SyncingNode) -> None:
    say(node, SYNC.request(id=1))

    await until(lambda: wire_of(node).blamed)
    assert wire_of(node).blamed == [(LIAR, "malformed")]


async def test_a_flood_of_requests_is_bounded_and_named_once(
    node: SyncingNode, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1, 1_001):
        say(node, SYNC.request(id=number, hash="a" * 64))

    assert node.driver.counters["too_many_requests"] == 1_000 - SYNC_REQUESTS_WAITING_MAX
    answers = lambda: [  # noqa: E731
        each for each in wire_of(node).sent if isinstance(each, SyncResponse)
    ]
    await until(lambda: len(answers()) == SYNC_REQUESTS_WAITING_MAX)
    assert sorted(each.re for each in answers()) == list(range(1, 9))
    named = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert named == [f"{LIAR}: too_many_requests: 8 of sync wait"]


async def test_records_that_were_hidden_are_named_once(
    node: SyncingNode, caplog: pytest.LogCaptureFixture
) -> None:
    for topic in ("posts", "posts", "marketplace"):
        node.driver._note((LIAR, topic), Outcome(learned=3, hidden=2))

    assert node.driver.counters["hidden"] == 6
    said = f"hidden_below_watermarks: 2 records, found at {LIAR}; some peer said they were not"
    assert [each.getMessage() for each in caplog.records] == [
        f"posts: {said}",
        f"marketplace: {said}",
    ]


async def test_a_peer_that_is_gone_is_not_remembered_for_repair(node: SyncingNode) -> None:
    node.driver._note((LIAR, "posts"), Outcome(skipped_repair=True))
    node.driver.peer_down(LIAR)
    node.driver._note((LIAR, "posts"), Outcome(skipped_repair=True))

    assert node.driver._insist == set()


async def test_a_peer_that_knows_more_is_asked(node: SyncingNode) -> None:
    question = await first_question(node)
    say(node, SYNC.response(re=question.id, equal=True))
    await until(lambda: node.driver.counters["sessions"] == 1)
    mark = OriginMark(origin="a" * 32, incarnation=1, seq=5)
    say(node, SYNC.request(id=1, marks=MarkSlice(marks=[mark])))

    await until(lambda: len(wire_of(node).asked()) == 2)


async def test_topics_of_the_swarm_are_for_members_only(
    node: SyncingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = await first_question(node)
    say(node, SYNC.response(re=question.id, equal=True))
    await until(lambda: node.driver.counters["sessions"] == 1)
    monkeypatch.setattr(Topic, "scope", "swarm")
    node.driver._is_member = lambda peer: False

    say(node, SYNC.request(id=1, hash="a" * 64))
    assert node.driver.counters["not_shared"] == 1

    node.driver._is_member = lambda peer: peer.member
    say(node, changed(SYNC.request(id=2, hash="a" * 64)))
    await until(lambda: any(isinstance(each, SyncResponse) for each in wire_of(node).sent))
    assert node.driver.counters["not_shared"] == 1
