"""Runs pull sync on the node's loop: sessions with peers, and answers to theirs."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

from p2p import syncing
from p2p.clock import now_utc
from p2p.mesh.settings import PeerInfo
from p2p.mesh.supervision import TaskOwner
from p2p.pausing import rung_within
from p2p.protocol.codec import Received, encode_message
from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import (
    SYNC_ANSWER_TIMEOUT_S,
    SYNC_REQUESTS_BURST,
    SYNC_REQUESTS_PER_S,
    SYNC_REQUESTS_WAITING_MAX,
)
from p2p.protocol.messages import NeighbourMessage, Record
from p2p.protocol.news import News
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.token_bucket import TokenBucket
from p2p.registration import Topic, synced_topics
from p2p.sync.messages import SyncRequest, SyncResponse
from p2p.sync.opening import open_frames
from p2p.sync.schedule import Schedule
from p2p.sync.session import Outcome, Session

log = logging.getLogger(__name__)

Offload = Callable[..., Awaitable[Any]]  # runs a function elsewhere: (function, *args, **kwargs)


class Neighbours(Protocol):
    """What the driver needs of the mesh."""

    def send(self, node_id: str, payload: bytes) -> bool: ...

    def blame(self, node_id: str, error: ProtocolError) -> None: ...


class Answered(Protocol):
    """A response ready to be sent, and whether the asker knows more than we do."""

    @property
    def payload(self) -> bytes: ...

    @property
    def behind(self) -> bool: ...


class Steps(Protocol):
    """The steps of sync on a store, as `p2p.syncing` does them on the database."""

    def begin(
        self, topic: Topic, now: datetime, *, insist: bool
    ) -> tuple[Session, SyncRequest]: ...

    def take(
        self,
        topic: Topic,
        session: Session,
        response: SyncResponse,
        opened: Sequence[Received[Record]],
        now: datetime,
    ) -> SyncRequest | None: ...

    def answer(self, topic: Topic, request: SyncRequest, now: datetime) -> Answered: ...


class SyncDriver:
    """Pulls every topic from peers, and serves theirs; the database is never used on the loop."""

    def __init__(
        self,
        *,
        neighbours: Neighbours,
        network: str,
        registry: MessageRegistry,
        is_member: Callable[[PeerInfo], bool],
        on_database: Offload,
        on_thread: Offload = asyncio.to_thread,
        rng: random.Random | None = None,
        now: Callable[[], datetime] = now_utc,
        monotonic: Callable[[], float] = time.monotonic,
        topics: Callable[[], Iterable[Topic]] = synced_topics,
        steps: Steps = syncing,
    ) -> None:
        """Take the mesh, who counts as a member of our swarm, and where slow work runs.

        `on_database` runs ORM work, which is the `steps`; `on_thread` verifies signatures.
        """
        self.counters: Counter[str] = Counter()
        self._neighbours = neighbours
        self._network = network
        self._registry = registry
        self._is_member = is_member
        self._on_database = on_database
        self._on_thread = on_thread
        self._now = now
        self._topics = topics
        self._steps = steps
        self._monotonic = monotonic
        self._schedule = Schedule(rng or random.Random(), monotonic())
        self._peers: dict[str, PeerInfo] = {}
        self._awaited: dict[tuple[str, str], asyncio.Future[SyncResponse]] = {}
        self._insist: set[tuple[str, str]] = set()
        self._said = News(monotonic)
        self._waiting: Counter[str] = Counter()
        self._buckets: dict[str, TokenBucket] = {}
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._tasks = TaskOwner("sync")
        self._answers = 0

    async def run(self) -> None:
        """Sync by the schedule until cancelled; ends everything that it began."""
        try:
            while True:
                for node_id in self._schedule.due(self._monotonic()):
                    if not self._tasks.start(node_id, self._sync_with(node_id)):
                        self._schedule.ask_soon(node_id, self._monotonic())
                rest_s = max(0.01, self._schedule.next_at - self._monotonic())
                await rung_within(self._wake, rest_s)
                self._wake.clear()
        finally:
            await self._tasks.stop()

    def peer_up(self, peer: PeerInfo) -> None:
        """Sync with a new peer at once; a Seneschal stores nothing, so it is asked nothing."""
        if peer.role == "seneschal":
            return
        self._peers[peer.node_id] = peer
        is_member = self._is_member(peer)
        self._schedule.peer_up(peer.node_id, self._monotonic(), is_member=is_member)
        self._wake.set()

    def peer_down(self, node_id: str) -> None:
        """Give up what was asked of a peer that is gone."""
        self._peers.pop(node_id, None)
        self._buckets.pop(node_id, None)
        self._schedule.peer_down(node_id)
        self._insist = {each for each in self._insist if each[0] != node_id}
        for (asked, _), response in self._awaited.items():
            if asked == node_id and not response.done():
                response.cancel()

    def on_neighbour(self, received: Received[NeighbourMessage], from_node_id: str) -> None:
        """Take a request or a response; messages of others are left alone."""
        message = received.message
        if not isinstance(message, SyncRequest | SyncResponse):
            return
        topic, peer = self._topic_of(message), self._peers.get(from_node_id)
        if topic is None or peer is None or not self._shares(topic, peer):
            self.counters["not_shared"] += 1
        elif isinstance(message, SyncRequest):
            self._take_request(topic, message, from_node_id)
        else:
            self._take_response(topic, message, from_node_id)

    def _topic_of(self, message: SyncRequest | SyncResponse) -> Topic | None:
        for topic in self._topics():
            pair = topic.sync
            if pair is not None and isinstance(message, pair.request | pair.response):
                return topic
        return None

    def _take_request(self, topic: Topic, request: SyncRequest, node_id: str) -> None:
        if self._waiting[node_id] >= SYNC_REQUESTS_WAITING_MAX:
            self.counters["too_many_requests"] += 1
            self._name(node_id, "too_many_requests", f"{SYNC_REQUESTS_WAITING_MAX} of sync wait")
            return
        self._waiting[node_id] += 1
        self._answers += 1
        self._tasks.start(f"answer {self._answers}", self._answer(topic, request, node_id))

    def _take_response(self, topic: Topic, response: SyncResponse, node_id: str) -> None:
        awaited = self._awaited.get((node_id, topic.name))
        if awaited is None or awaited.done():
            self.counters["unawaited"] += 1
            return
        awaited.set_result(response)

    async def _answer(self, topic: Topic, request: SyncRequest, node_id: str) -> None:
        try:
            await asyncio.sleep(self._pay(node_id))
            async with self._turn:  # between two answers the inbox has its turn
                answer = await self._on_database(self._steps.answer, topic, request, self._now())
        except ProtocolError as error:
            self._neighbours.blame(node_id, error)
            return
        finally:
            self._waiting[node_id] -= 1
            if not self._waiting[node_id]:
                del self._waiting[node_id]
        self._neighbours.send(node_id, answer.payload)
        if answer.behind:
            self._schedule.ask_soon(node_id, self._monotonic())
            self._wake.set()

    def _pay(self, node_id: str) -> float:
        now = self._monotonic()
        bucket = self._buckets.setdefault(
            node_id, TokenBucket(SYNC_REQUESTS_PER_S, SYNC_REQUESTS_BURST, now)
        )
        return bucket.take(1, now)

    async def _sync_with(self, node_id: str) -> None:
        """Pull all topics that are shared with a peer, one after the other."""
        learned = 0
        for topic in self._topics():
            peer = self._peers.get(node_id)
            if peer is None:
                return
            if self._shares(topic, peer):
                learned += await self._pull(topic, node_id)
        if learned:
            self._schedule.learned_from(node_id, self._monotonic())
            self._wake.set()

    async def _pull(self, topic: Topic, node_id: str) -> int:
        """Pull one topic; return how many records were learned, also when it ended early."""
        place = (node_id, topic.name)
        session, request = await self._on_database(
            self._steps.begin, topic, self._now(), insist=place in self._insist
        )
        try:
            while request is not None:
                response = await self._ask(topic, node_id, request)
                opened = await self._open(topic, response)
                request = await self._on_database(
                    self._steps.take, topic, session, response, opened, self._now()
                )
        except TimeoutError:
            self.counters["unanswered"] += 1
        except ProtocolError as error:
            self._neighbours.blame(node_id, error)
        else:
            self._note(place, session.outcome)
        return int(session.outcome.learned)

    async def _ask(self, topic: Topic, node_id: str, request: SyncRequest) -> SyncResponse:
        """Send a request and wait for its answer; TimeoutError when none comes."""
        place = (node_id, topic.name)
        response: asyncio.Future[SyncResponse] = asyncio.Future()
        self._awaited[place] = response
        try:
            async with asyncio.timeout(SYNC_ANSWER_TIMEOUT_S):
                if not self._neighbours.send(node_id, encode_message(request)):
                    raise TimeoutError
                return await _until(response)
        finally:
            del self._awaited[place]

    async def _open(self, topic: Topic, response: SyncResponse) -> list[Received[Record]]:
        if not response.frames:
            return []
        opened: list[Received[Record]] = await self._on_thread(
            open_frames,
            response.frames,
            topic=topic.name,
            network=self._network,
            registry=self._registry,
        )
        return opened

    def _note(self, place: tuple[str, str], outcome: Outcome) -> None:
        self.counters["sessions"] += 1
        self.counters["learned"] += outcome.learned
        if outcome.hidden:
            self.counters["hidden"] += outcome.hidden
            detail = f"{outcome.hidden} records, found at {place[0]}; some peer said they were not"
            self._name(place[1], "hidden_below_watermarks", detail)
        if outcome.skipped_repair and place[0] in self._peers:
            self._insist.add(place)
        else:
            self._insist.discard(place)

    def _name(self, who: str, event: str, detail: str) -> None:
        if self._said.is_news(who, event):
            log.warning("%s: %s: %s", who, event, detail)

    def _shares(self, topic: Topic, peer: PeerInfo) -> bool:
        return topic.scope == "network" or self._is_member(peer)


async def _until(response: asyncio.Future[SyncResponse]) -> SyncResponse:
    """Wait for a response; TimeoutError when the peer went away meanwhile."""
    await asyncio.wait([response])
    if response.cancelled():
        raise TimeoutError
    return response.result()
