"""Nodes with 10,000 records each on databases of their own, and one pull between two of them."""

from __future__ import annotations

import random
import statistics
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from benchmarks.mesh.result import Result
from marketplace.messages import TOPIC, OfferingAnnounce, OfferingBody
from p2p import syncing
from p2p.models import NodeState, OutboxMessage, Record
from p2p.protocol.codec import Received, decode_payload, encode_message
from p2p.protocol.frames import encode_frame
from p2p.protocol.identity import Identity
from p2p.protocol.messages import Message
from p2p.protocol.signing import open_sealed, seal
from p2p.protocol.timestamps import to_timestamp
from p2p.record_store import TopicStore
from p2p.records import discard
from p2p.registration import registry, topic_named
from p2p.sync.opening import open_frames
from tests.support.cluster import NETWORK, START, Cluster, SimNode, make_template

RECORDS = 10_000
ORIGINS = 20
MISSING = (0, 1, 10, 100)
BATCH = 100
TIMED_PULLS = 5


def measure(folder: Path) -> Result:
    """Return bytes and milliseconds of one pull for each size of the difference."""
    chance = random.Random(1)
    make_template(folder / "empty.sqlite3")
    frames = _frames(chance)
    common, newest = frames[: -max(MISSING)], frames[-max(MISSING) :]
    filled = _filled(folder, common)
    cluster = Cluster(folder, filled)
    result = Result()
    try:
        full = cluster.add("full")
        _apply(cluster, full, newest)
        for missing in MISSING:
            asker = cluster.add(f"misses-{missing}")
            _apply(cluster, asker, newest[: len(newest) - missing])
            _note(result, f"sync {missing} missing", _pull(cluster, asker, full))
        _note(result, "sync 1 lost", _pull_lost(cluster, asker, full))
        took_ms = [_pull(cluster, asker, full)[1] for _ in range(TIMED_PULLS)]
        result.figures["sync equal again time"] = statistics.median(took_ms)
    finally:
        cluster.close()
    return result


def _note(result: Result, name: str, measured: tuple[int, float, int]) -> None:
    wire_bytes, took_ms, learned = measured
    result.figures[f"{name} bytes"] = wire_bytes
    result.figures[f"{name} time"] = took_ms
    expected = int(name.split()[1])
    result.counts[name] = {"expected": expected, "delivered": learned}


def _pull_lost(cluster: Cluster, asker: SimNode, full: SimNode) -> tuple[int, float, int]:
    """Pull a record that the asker's watermark says it has: only the hashes show the loss."""
    with cluster.acting(asker):
        row = Record.objects.filter(topic=TOPIC).order_by("position").first()
        assert row is not None
        discard(TOPIC, [row.key])
    return _pull(cluster, asker, full)


def _pull(cluster: Cluster, asker: SimNode, other: SimNode) -> tuple[int, float, int]:
    """Return bytes on the wire, milliseconds and records learned of one session."""
    topic, now = topic_named(TOPIC), cluster.now
    wire_bytes, begun_at = 0, time.perf_counter()
    with cluster.acting(asker):
        session, request = syncing.begin(topic, now, insist=True)
    while request is not None:
        sent = encode_message(request)
        with cluster.acting(other):
            given = syncing.answer(topic, _decoded(sent), now).payload  # type: ignore[arg-type]
        wire_bytes += len(encode_frame(sent)) + len(encode_frame(given))
        response = _decoded(given)
        with cluster.acting(asker):
            opened = open_frames(
                response.frames,  # type: ignore[attr-defined]
                topic=TOPIC,
                network=NETWORK,
                registry=registry,
            )
            request = syncing.take(topic, session, response, opened, now)  # type: ignore[arg-type]
    took_ms = (time.perf_counter() - begun_at) * 1000
    assert session.outcome.equal or session.outcome.learned, "the pull changed nothing"
    return wire_bytes, took_ms, session.outcome.learned


def _decoded(payload: bytes) -> Message:
    received = decode_payload(payload, registry)
    assert isinstance(received, Received)
    return received.message


def _filled(folder: Path, frames: Sequence[bytes]) -> Path:
    """Return a database with these records that belongs to no node yet."""
    cluster = Cluster(folder, folder / "empty.sqlite3")
    loader = cluster.add("loader")
    _apply(cluster, loader, frames)
    with cluster.acting(loader):
        NodeState.objects.all().delete()
        OutboxMessage.objects.all().delete()
        loader.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    cluster.close()
    return loader.local.home / "node.sqlite3"


def _apply(cluster: Cluster, node: SimNode, frames: Sequence[bytes]) -> None:
    with cluster.acting(node):
        store = TopicStore(topic_named(TOPIC), cluster.now)
        for at in range(0, len(frames), BATCH):
            store.apply((), [_opened(each) for each in frames[at : at + BATCH]])


def _opened(frame: bytes) -> Received:
    return open_sealed(frame, NETWORK, registry)


def _frames(chance: random.Random) -> list[bytes]:
    """Return RECORDS signed offerings, their origins by chance, each origin's in its order."""
    identities = [Identity.from_seed(chance.randbytes(32)) for _ in range(ORIGINS)]
    seqs = dict.fromkeys(identities, 0)
    made = []
    for _ in range(RECORDS):
        identity = chance.choice(identities)
        seqs[identity] += 1
        made.append(_frame(identity, seqs[identity], uuid.UUID(int=chance.getrandbits(128))))
    return made


def _frame(identity: Identity, seq: int, offering_id: uuid.UUID) -> bytes:
    body = OfferingBody(
        id=offering_id.hex,
        node_id=identity.node_id,
        swarm="benchmark",
        addresses=[],
        idle_agents=1,
        capabilities=[],
        price_per_task=1,
        currency="VOID",
        policy="accepted_result",
        isolation="worktree",
        api_keys=False,
        expires_at=to_timestamp(START + timedelta(hours=1)),
        created_at=to_timestamp(START),
    )
    record = OfferingAnnounce(
        origin=identity.node_id,
        public_key=identity.public_key_text,
        lamport_ts=int(START.timestamp() * 1000),
        incarnation=1,
        seq=seq,
        offering=body,
    )
    return seal(record, identity, NETWORK)
