"""Stores in memory for pull sync: the production protocol on them, and networks that misbehave."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from p2p.protocol.codec import Received, decode_payload, encode_message
from p2p.protocol.fields import Body, Milliseconds, Uuid, about
from p2p.protocol.frames import encode_frame
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Record
from p2p.protocol.numbers import MessageNumber
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.signing import seal
from p2p.sync.items import WHOLE, Item, hash_of, position_of
from p2p.sync.judging import Authority, Judgement, Rule, Stamp, advance, judge, mark_of
from p2p.sync.marks import START, Mark, Progress, Span
from p2p.sync.messages import SyncResponse, sync_pair
from p2p.sync.responder import answer, live_hash
from p2p.sync.session import Outcome, Session
from p2p.sync.store import Applied
from tests.support.wire import NETWORK, identity_number

TOPIC = "entries"
PAIR = sync_pair(TOPIC, MessageNumber.AGENT_SYNC_REQ, MessageNumber.AGENT_SYNC_RSP)
FAR_MS = 2**50


class Entry(Record, frozen=True, kw_only=True, tag=MessageNumber.AGENT_REGISTER.value):
    """A record that only tests use; it may be a tombstone and it may expire."""

    topic: ClassVar[str] = TOPIC

    id: Annotated[Uuid, about("names the entry")]
    text: Annotated[Body, about("what it says")] = ""
    gone: Annotated[bool, about("whether this is a tombstone")] = False
    until_ms: Annotated[Milliseconds, about("when it expires")] = FAR_MS

    def key(self) -> str:
        return self.id

    @property
    def deletes(self) -> bool:
        return self.gone


def _registry() -> MessageRegistry:
    registry = MessageRegistry()
    registry.register(Entry, PAIR.request, PAIR.response)
    registry.freeze()
    return registry


REGISTRY = _registry()


class Crash(Exception):
    """The process ended in the middle of a transaction."""


class Clock:
    """The wall clock of a simulation, unix milliseconds."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000


@dataclass(slots=True)
class Kept:
    """A stored record."""

    record: Entry
    raw: bytes


class MemoryStore:
    """One node's records of one topic; fulfils p2p.sync.store.RecordStore."""

    is_ranked = False

    def __init__(self, number: int, clock: Clock) -> None:
        self.identity: Identity = identity_number(number)
        self.clock = clock
        self.kept: dict[str, Kept] = {}
        self.progress: dict[str, Progress] = {}
        self.authority: Callable[[Record], Authority] = lambda _: Authority.APPLY
        self.crashes_after_records = False
        self._seq = 0
        self._lamport = 0

    @property
    def id(self) -> str:
        return self.identity.node_id

    def publish(self, key: str, text: str = "", **fields: object) -> Received[Record]:
        """Write the next version of a record and return its frame."""
        self._seq += 1
        self._lamport = max(self._lamport + 1, self.clock.now_ms)
        record = Entry(
            origin=self.id,
            public_key=self.identity.public_key_text,
            lamport_ts=self._lamport,
            incarnation=1,
            seq=self._seq,
            id=key,
            text=text,
            **fields,  # type: ignore[arg-type]
        )
        raw = seal(record, self.identity, NETWORK)
        self.kept[key] = Kept(record, raw)
        self._moved({self.id: Progress(mark_of(record))})
        return Received(record, raw)

    def live(self) -> dict[str, Mark]:
        """Return what counts by key, for comparisons."""
        return {item.key: item.mark for item in self.live_items(0, 2**48)}

    def live_items(self, lo: int, hi: int) -> list[Item]:
        now_ms = self.clock.now_ms
        return [
            item for item in self.kept_items(lo, hi) if self.kept[item.key].record.until_ms > now_ms
        ]

    def live_hash(self) -> str:
        return hash_of(self.live_items(*WHOLE))

    def kept_items(self, lo: int, hi: int) -> list[Item]:
        items = [
            Item(position_of(key), key, each.record.origin, *mark_of(each.record))
            for key, each in self.kept.items()
        ]
        return sorted(item for item in items if lo <= item.position < hi)

    def marks(self) -> dict[str, Mark]:
        return {origin: each.mark for origin, each in self.progress.items() if each.mark > START}

    def live_origins(self) -> set[str]:
        return {item.origin for item in self.live_items(0, 2**48)}

    def frames_in(self, origin: str, span: Span, count: int) -> Iterable[tuple[Mark, bytes]]:
        found = sorted(
            (item.mark, self.kept[item.key].raw)
            for item in self.live_items(0, 2**48)
            if item.origin == origin and span.after < item.mark <= span.through
        )
        return found[:count]

    def frames_of(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return {key: self.kept[key].raw for key in keys if key in self.kept}

    def apply(
        self, covers: Sequence[tuple[str, Span]], records: Sequence[Received[Record]]
    ) -> Applied:
        """Judge and store as the real store does; a crash in between leaves nothing behind."""
        held = {key: Stamp.of(each.record) for key, each in self.kept.items()}
        judged = self._judge(records, held)
        self._lamport = max([self._lamport, *(each.message.lamport_ts for each in records)])
        before = dict(self.kept)
        for key, winner in judged.winners.items():
            assert isinstance(winner.message, Entry)
            self.kept[key] = Kept(winner.message, winner.raw)
        if self.crashes_after_records:
            self.crashes_after_records = False
            self.kept = before
            raise Crash
        self._moved(self._advance(covers, records, judged))
        return Applied(learned=len(judged.winners), parked=len(judged.parked))

    def _judge(self, records: Sequence[Received[Record]], held: Mapping[str, Stamp]) -> Judgement:
        return judge(records, held=held, rule=Rule(self.authority), clock_end_ms=FAR_MS)

    def _advance(
        self,
        covers: Sequence[tuple[str, Span]],
        records: Sequence[Received[Record]],
        judged: Judgement,
    ) -> dict[str, Progress]:
        moved = advance(self.progress, batch=records, covers=covers, withheld=judged.withheld)
        moved.pop(self.id, None)
        return moved

    def _moved(self, progress: Mapping[str, Progress]) -> None:
        self.progress.update(progress)


@dataclass(slots=True)
class Exchange:
    """What one session did, and what it cost on the wire."""

    outcome: Outcome
    wire_bytes: int = 0
    frames_bytes_max: int = 0
    messages: int = 0


def pull(
    asker: MemoryStore,
    other: MemoryStore,
    *,
    insist: bool = False,
    change: Callable[[SyncResponse], SyncResponse] = lambda response: response,
    lost: Callable[[], bool] = lambda: False,
) -> Exchange:
    """Let one store pull from another over the real wire format; a lost message ends it."""
    session = Session(PAIR, insist=insist)
    exchange = Exchange(session.outcome)
    request = session.start(asker)
    while request is not None and not lost():
        asked = _carried(encode_message(request), exchange)
        response = change(answer(other, PAIR, asked))
        given = _carried(encode_message(response), exchange)
        if lost():
            break
        records = [open_unverified(frame) for frame in given.frames]
        request = session.receive(asker, given, records)
    return exchange


def stores(count: int = 3) -> list[MemoryStore]:
    """Return empty stores that share a clock."""
    clock = Clock()
    return [MemoryStore(number + 1, clock) for number in range(count)]


def key(number: int) -> str:
    """Return the key of a number."""
    return f"{number:032x}"


def push(received: Received[Record], to: MemoryStore) -> None:
    """Deliver a record as gossip does."""
    to.apply((), [received])


def open_unverified(frame: str) -> Received[Record]:
    """Decode a frame without checking its signature, which has tests of its own."""
    received = decode_payload(frame.encode(), REGISTRY)
    assert isinstance(received, Received)
    assert isinstance(received.message, Record)
    return Received(received.message, received.raw)


def equal(stores: Sequence[MemoryStore]) -> bool:
    """Tell whether all stores hold the same."""
    return len({live_hash(store) for store in stores}) == 1


def _carried(payload: bytes, exchange: Exchange) -> object:
    frame_bytes = len(encode_frame(payload))
    exchange.wire_bytes += frame_bytes
    exchange.frames_bytes_max = max(exchange.frames_bytes_max, len(payload))
    exchange.messages += 1
    received = decode_payload(payload, REGISTRY)
    assert isinstance(received, Received)
    return received.message


@dataclass
class Chaos:
    """A few nodes that write, lose, double and reorder, part, crash, and heal."""

    seed: int
    store: type[MemoryStore] = MemoryStore
    nodes_count: int = 5
    keys_count: int = 12
    written: list[Received[Record]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.clock = Clock()
        self.stores = [self.store(number + 1, self.clock) for number in range(self.nodes_count)]
        self._flying: list[tuple[Received[Record], MemoryStore]] = []
        self._sides = [0] * self.nodes_count
        self._insist: set[tuple[str, str]] = set()

    def run(self, steps: int = 150) -> None:
        """Take random steps, heal, and require that three rounds make all stores equal."""
        for _ in range(steps):
            self.clock.now_ms += self.random.randrange(1, 2_000)
            self.random.choice(
                [self._write, self._write, self._deliver, self._deliver, self._part, self._sync]
            )()
            self._check_marks()
        self._flying.clear()
        self._sides = [0] * self.nodes_count
        for _ in range(3):
            self._round()
        self._check_end()

    def _write(self) -> None:
        writer = self.random.choice(self.stores)
        # Some keys have one writer, some have any.
        number = self.random.randrange(self.keys_count)
        name = number if number % 3 == 0 else 1_000 * (self.stores.index(writer) + 1) + number
        fields: dict[str, object] = {}
        if self.random.random() < 0.15:
            fields["gone"] = True
        received = writer.publish(f"{name:032x}", str(self.random.random()), **fields)
        self.written.append(received)
        for store in self.stores:
            if store is not writer and self._reach(writer, store) and self.random.random() > 0.25:
                copies = 2 if self.random.random() < 0.2 else 1
                self._flying += [(received, store)] * copies

    def _deliver(self) -> None:
        self.random.shuffle(self._flying)
        for _ in range(min(len(self._flying), self.random.randrange(1, 8))):
            received, store = self._flying.pop()
            push(received, store)

    def _part(self) -> None:
        if self.random.random() < 0.3:
            self._sides = [self.random.randrange(2) for _ in self.stores]

    def _sync(self) -> None:
        asker, other = self.random.sample(self.stores, 2)
        if not self._reach(asker, other):
            return
        asker.crashes_after_records = self.random.random() < 0.2
        lost_at = self.random.randrange(2, 12) if self.random.random() < 0.4 else 10_000
        sent = iter(range(100_000))
        try:
            self._pull(asker, other, lost=lambda: next(sent) >= lost_at)
        except Crash:
            self._flying = [each for each in self._flying if each[1] is not asker]
        asker.crashes_after_records = False

    def _round(self) -> None:
        """Everybody syncs with one other by chance; who learned something syncs with the rest."""
        asking = [(each, self.random.choice(self._others(each))) for each in self.stores]
        while asking:
            one, other = asking.pop(0)
            for asker, asked in ((one, other), (other, one)):
                if self._pull(asker, asked).outcome.learned:
                    asking += [(asker, each) for each in self._others(asker) if each is not asked]

    def _pull(
        self, asker: MemoryStore, other: MemoryStore, lost: Callable[[], bool] = lambda: False
    ) -> Exchange:
        place = (asker.id, other.id)
        exchange = pull(asker, other, insist=place in self._insist, lost=lost)
        if exchange.outcome.skipped_repair:
            self._insist.add(place)
        else:
            self._insist.discard(place)
        return exchange

    def _others(self, store: MemoryStore) -> list[MemoryStore]:
        return [each for each in self.stores if each is not store]

    def _reach(self, one: MemoryStore, other: MemoryStore) -> bool:
        return self._sides[self.stores.index(one)] == self._sides[self.stores.index(other)]

    def _check_marks(self) -> None:
        """What a watermark says must be true: nothing below it that still counts is missing."""
        counting = self._counting().items()
        for store in self.stores:
            marks = store.marks()
            for key, record in counting:
                if mark_of(record) <= marks.get(record.origin, START):
                    held = store.kept.get(key)
                    assert held is not None, f"seed {self.seed}: a record is missing below a mark"
                    assert held.record == record, f"seed {self.seed}: an old version below a mark"

    def _check_end(self) -> None:
        wanted = {key: mark_of(record) for key, record in self._counting().items()}
        for store in self.stores:
            assert store.live() == wanted, f"seed {self.seed}: a store is not up to date"

    def _counting(self) -> dict[str, Record]:
        """Return the best version of every key that anybody ever wrote."""
        best: dict[str, Record] = {}
        for written in self.written:
            record = written.message
            before = best.get(record.key())
            if before is None or Stamp.of(record).beats(Stamp.of(before)):
                best[record.key()] = record
        return best
