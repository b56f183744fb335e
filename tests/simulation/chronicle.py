"""Knows everything that was ever written anywhere, and checks at every step what must hold.

The order of versions and the rules of the topics are written here a second time, on purpose:
what the production code gets wrong must not be wrong here too.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from p2p.gossip.ids import RecordId
from p2p.protocol.limits import CLOCK_AHEAD_MAX_MS
from p2p.protocol.messages import Record
from p2p.sync.marks import Mark
from tests.simulation.home import Home, Kept
from tests.simulation.node import SimNode
from tests.simulation.steps import Finished
from tests.simulation.store import Change, ends_ms_of
from tests.simulation.topics import NOTES, TASKS, Note, TaskState, Victory, record_term

CLOCKS_APART_MS = 4_000  # at most, between honest nodes
AHEAD_MS = 1_200_000  # twenty minutes: a clock that is wrong


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass(slots=True)
class Written:
    """A frame that some node signed; `may_be_lost`: its writer has forgotten it since."""

    record: Record
    raw: bytes
    by: int
    number_at_writer: int
    may_be_lost: bool = False
    number_used_twice: bool = False
    again: bool = False  # not anew by its owner, but by a home that was restored


class Chronicle:
    """The watcher of all nodes; the first broken invariant is kept."""

    def __init__(self, *, swarm_of: Callable[[int], str], marks_may_lie: bool) -> None:
        """Take the swarm of each node, and whether some neighbour lies about watermarks."""
        self.broken: Broken | None = None
        self.liars: set[str] = set()
        self.clocks_ahead: set[int] = set()
        self._swarm_of = swarm_of
        self._marks_may_lie = marks_may_lie
        self.sessions: list[tuple[SimNode, Finished]] = []
        self.frames: dict[bytes, Written] = {}
        self._of_origin: dict[tuple[str, str], list[Written]] = defaultdict(list)
        self._of_key: dict[tuple[str, str], list[Written]] = defaultdict(list)
        self._by_number: dict[tuple[str, str, Mark], Written] = {}
        self._count: dict[int, int] = defaultdict(int)
        self._clocks: dict[int, int] = defaultdict(int)
        self._restored: set[int] = set()

    def report(self, what: str, node: SimNode | None = None, key: str = "") -> None:
        """Keep the first broken invariant, with where and when."""
        if self.broken is None:
            place = "" if node is None else f" at node {node.number} ({node.id[:8]})"
            at = 0.0 if node is None else node.loop.time()
            named = f", key {key}" if key else ""
            self.broken = Broken(f"{what}{place}{named}, {at:.3f} s")

    # What nodes tell.

    def wrote(self, node: SimNode, record: Record, raw: bytes, *, again: bool = False) -> None:
        """Learn of a new version before anybody else."""
        self._count[node.number] += 1
        written = Written(record, raw, node.number, self._count[node.number], again=again)
        place = (record.topic, record.origin, mark(record))
        before = self._by_number.setdefault(place, written)
        if before is not written:
            before.number_used_twice = written.number_used_twice = True
            if node.number not in self._restored:
                self.report(f"{place[2]} was given to two records", node, record.key())
        self.register(written)

    def register(self, written: Written) -> None:
        """Take a frame as written, also one of a liar."""
        record = written.record
        self.frames[written.raw] = written
        self._of_origin[record.topic, record.origin].append(written)
        self._of_key[record.topic, record.key()].append(written)

    def changed(self, node: SimNode, change: Change) -> None:
        """Check one transaction."""
        for key, (before, after) in change.versions.items():
            self._check_version(node, change.topic, key, before, after)
        if not self._marks_may_lie:
            for origin, (old, new) in change.moved.items():
                self._check_mark(node, change.topic, origin, old, new)

    def delivered(self, node: SimNode, record_id: RecordId) -> None:
        """Check that the gossip gives a record to a process once."""
        if record_id in node.accepted:
            self.report(f"the gossip delivered {record_id} twice", node)
        node.accepted.add(record_id)

    def ticked(self, node: SimNode) -> None:
        """Check the stored clock after a transaction."""
        clock = node.home.database.clock
        if clock < self._clocks[node.number]:
            self.report(f"the clock went back from {self._clocks[node.number]} to {clock}", node)
        if (
            clock > node.now_ms() + CLOCK_AHEAD_MAX_MS + 1_000
            and node.number not in self.clocks_ahead
        ):
            self.report(f"the clock followed somebody to {clock}", node)
        self._clocks[node.number] = clock

    def finished(self, node: SimNode, session: Finished) -> None:
        """Note a session of sync for the count of rounds."""
        self.sessions.append((node, session))

    def restored(self, node: SimNode, backup: Home | None, written_at_backup: int) -> None:
        """Learn that a node went back to a backup, or to nothing."""
        self._restored.add(node.number)
        self._clocks[node.number] = backup.database.clock if backup else 0
        for written in self.frames.values():
            if written.by == node.number and written.number_at_writer > written_at_backup:
                written.may_be_lost = True

    def written_by(self, node: SimNode) -> int:
        """Return how many versions a node wrote so far."""
        return self._count[node.number]

    def origins(self) -> set[str]:
        """Return who ever wrote something."""
        return {origin for _, origin in self._of_origin}

    def any_frame(self, chance: random.Random) -> bytes | None:
        """Return a frame that was written some time, None when there is none."""
        return chance.choice(list(self.frames)) if self.frames else None

    # What must hold.

    def _check_version(
        self, node: SimNode, topic: str, key: str, before: Kept | None, after: Kept
    ) -> None:
        record = after.record
        if before is not None and before.raw != after.raw and not beats(record, before.record):
            self.report("a version went backwards", node, key)
        if not self._is_rightful(node, record):
            self.report("a record of a wrong author was accepted", node, key)
        if after.raw not in self.frames:
            self.report("a record was accepted that nobody wrote", node, key)
        own = record.origin == node.id
        if not own and record.lamport_ts > node.now_ms() + CLOCK_AHEAD_MAX_MS:
            self.report(f"a record from the future was accepted ({record.lamport_ts})", node, key)
        if before is not None and self._came_back(before.record, record):
            self.report("a tombstoned key came back", node, key)

    def _came_back(self, before: Record, after: Record) -> bool:
        """Tell whether a removed note is there again.

        Its owner may write it anew when a restored home has forgotten the removal.
        """
        if not isinstance(after, Note) or not _is_gone(before) or after.gone:
            return False
        return not any(
            each.by in self._restored
            and not each.again
            and isinstance(each.record, Note)
            and each.record.text == after.text
            and each.record.lamport_ts > before.lamport_ts
            for each in self._of_key[NOTES, after.key()]
        )

    def _check_mark(self, node: SimNode, topic: str, origin: str, old: Mark, new: Mark) -> None:
        if origin in self.liars:
            return
        if new < old:
            self.report(f"the watermark of {origin[:8]} went back from {old} to {new}", node)
        for written in self._of_origin[topic, origin]:
            if old < mark(written.record) <= new and not self._is_settled(node, topic, written):
                what = f"the watermark {new} of {origin[:8]} covers {mark(written.record)}"
                self.report(f"{what}, which is missing", node, written.record.key())

    def _is_settled(self, node: SimNode, topic: str, written: Written) -> bool:
        """Tell whether a node needs a version no more: held, superseded, over or not admitted."""
        key = written.record.key()
        held = node.home.database.tables[topic].kept.get(key)
        if held is not None and (held.raw == written.raw or beats(held.record, written.record)):
            return True
        if written.may_be_lost or written.number_used_twice:
            return True  # its writer forgot it and says so; those who have it find it by its key
        if not (self._is_rightful(None, written.record) and self._concerns(node, written)):
            return True
        return any(
            self._is_over_somewhere(node, each)
            if each is written
            else beats(each.record, written.record) and self._may_come(node, topic, each)
            for each in self._of_key[topic, key]
        )

    def _may_come(self, node: SimNode, topic: str, better: Written) -> bool:
        """Tell whether a better version is over, or not covered at a node and so still to come."""
        if self._is_over_somewhere(node, better):
            return True
        if better.record.origin == node.id:
            return better.may_be_lost  # others hold what this node has forgotten
        progress = node.home.database.tables[topic].progress.get(better.record.origin)
        return progress is None or progress.mark < mark(better.record)

    def check_end(self, node: SimNode, topic: str) -> None:
        """Check that a node holds the best version of every key that is not lost for good."""
        kept = node.home.database.tables[topic].kept
        for (of_topic, key), versions in self._of_key.items():
            if of_topic != topic or not self._concerns(node, versions[0]):
                continue
            held = kept.get(key)
            for written in versions:
                if written.may_be_lost or written.record.origin in self.liars:
                    continue
                if self._is_over_somewhere(node, written):
                    continue  # a peer whose clock is ahead has nothing to send any more
                if not self._is_rightful(None, written.record):
                    continue
                if held is None or (
                    held.raw != written.raw and not beats(held.record, written.record)
                ):
                    self.report(f"{mark(written.record)} is missing in the end", node, key)

    def _concerns(self, node: SimNode, written: Written) -> bool:
        return written.record.topic == NOTES or self._swarm_of(written.by) == node.settings.swarm

    def _is_rightful(self, node: SimNode | None, record: Record) -> bool:
        if isinstance(record, Note):
            return record.owner == record.origin
        assert isinstance(record, Victory | TaskState)
        if record.emperor != record.origin:
            return False
        if node is not None and record.swarm != node.settings.swarm:
            return False
        if node is None or isinstance(record, Victory):
            return True
        return record_term(record) in node.home.database.tables[TASKS].kept

    def _is_over_somewhere(self, node: SimNode, written: Written) -> bool:
        """Tell whether a version is over by the fastest clock: from there it comes no more."""
        return self._is_over(node, written, CLOCKS_APART_MS + AHEAD_MS * bool(self.clocks_ahead))

    def _is_over(self, node: SimNode, written: Written, within_ms: int = 0) -> bool:
        ends_ms = ends_ms_of(node.topics[written.record.topic], written.record)
        return ends_ms is not None and ends_ms <= node.now_ms() + within_ms


def mark(record: Record) -> Mark:
    """Return a record's place in its origin's numbering."""
    return Mark(record.incarnation, record.seq)


def beats(one: Record, other: Record) -> bool:
    """Tell whether a version replaces another one of its key, as design section 5 orders them."""
    if isinstance(one, TaskState) and isinstance(other, TaskState):
        mine, theirs = (one.counter, one.emperor), (other.counter, other.emperor)
        if mine[0] != theirs[0]:
            return mine[0] > theirs[0]
        if mine[1] != theirs[1]:
            return mine[1] < theirs[1]
    if one.origin == other.origin:
        return mark(one) > mark(other)
    return (one.lamport_ts, one.origin) > (other.lamport_ts, other.origin)


def _is_gone(record: Record) -> bool:
    return isinstance(record, Note) and record.gone
