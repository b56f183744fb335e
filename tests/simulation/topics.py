"""The topics of the simulation: notes that one node writes each, and tasks of changing emperors.

A note belongs to its owner, may be removed and may expire; everybody in the network holds it. A
task belongs to its swarm and is written by the emperor of a term. It counts only where the
term's victory is known; of two versions the one of the higher term wins, at equal counters that
of the lower emperor.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, ClassVar

from p2p.discovery.messages import Pex
from p2p.protocol.fields import Body, Milliseconds, Name, NodeId, Scope, Sequence, Uuid, about
from p2p.protocol.messages import Record
from p2p.protocol.numbers import MessageNumber
from p2p.protocol.registry import MessageRegistry
from p2p.registration import Topic
from p2p.sync.judging import Authority, Rank
from p2p.sync.messages import sync_pair

NETWORK = "simulation"
NOTES, TASKS = "notes", "tasks"
NOTES_SYNC = sync_pair(NOTES, MessageNumber.SYNC_REQ, MessageNumber.SYNC_RSP)
TASKS_SYNC = sync_pair(TASKS, MessageNumber.TASK_SYNC_REQ, MessageNumber.TASK_SYNC_RSP)
FAR_MS = 2**52
TERM_JUMP_MAX = 1_000  # design section 6


class Note(Record, frozen=True, kw_only=True, tag=MessageNumber.POST.value):
    """What one node says; only the owner in its key may write it."""

    topic: ClassVar[str] = NOTES

    owner: Annotated[NodeId, about("whose note it is")]
    id: Annotated[Uuid, about("names the note")]
    text: Annotated[Body, about("what it says")] = ""
    gone: Annotated[bool, about("whether this is a tombstone")] = False
    until_ms: Annotated[Milliseconds, about("when it expires")] = FAR_MS

    def key(self) -> str:
        """Return owner and id."""
        return f"{self.owner}-{self.id}"

    @property
    def deletes(self) -> bool:
        """Tell whether this is a tombstone."""
        return self.gone


class Victory(Record, frozen=True, kw_only=True, tag=MessageNumber.ELECTION_VICTORY.value):
    """An emperor's term has begun: what proves the tasks that it writes."""

    topic: ClassVar[str] = TASKS
    scope: ClassVar[Scope] = "swarm"

    swarm: Annotated[Name, about("whose term it is")]
    counter: Annotated[Sequence, about("number of the term")]
    emperor: Annotated[NodeId, about("who won")]

    def key(self) -> str:
        """Return the term."""
        return term_key(self.counter, self.emperor)


class TaskState(Record, frozen=True, kw_only=True, tag=MessageNumber.TASK_UPDATE.value):
    """A task as the emperor of a term sees it."""

    topic: ClassVar[str] = TASKS
    scope: ClassVar[Scope] = "swarm"

    id: Annotated[Uuid, about("names the task")]
    swarm: Annotated[Name, about("whose term it is")]
    counter: Annotated[Sequence, about("number of the term")]
    emperor: Annotated[NodeId, about("emperor of the term")]
    text: Annotated[Body, about("its state")] = ""

    def key(self) -> str:
        """Return the task."""
        return self.id


def term_key(counter: int, emperor: str) -> str:
    """Return the key of a term's victory."""
    return f"term-{counter}-{emperor}"


def rank_of_task(record: Record) -> Rank:
    """Order a task's versions: the higher term first, at equal counters the lower emperor."""
    if isinstance(record, TaskState):
        return (record.counter, -int(record.emperor, 16))
    return ()


def may_write_note(record: Record) -> Authority:
    """Only the owner writes its notes."""
    assert isinstance(record, Note)
    return Authority.APPLY if record.owner == record.origin else Authority.NEVER


def may_write_task(record: Record, swarm: str, holds: Callable[[str], bool]) -> Authority:
    """An emperor proves its term by its victory, and a task by a victory that is held.

    The swarm is named in the record: a member that means ill could hand on another swarm's.
    """
    assert isinstance(record, Victory | TaskState)
    if record.emperor != record.origin or record.swarm != swarm:
        return Authority.NEVER
    if isinstance(record, Victory) or holds(record_term(record)):
        return Authority.APPLY
    return Authority.NOT_YET


def record_term(record: TaskState) -> str:
    """Return the key of the victory that a task's state rests on."""
    return term_key(record.counter, record.emperor)


def topics_of(swarm: str, holds: Callable[[str], bool]) -> dict[str, Topic]:
    """Return the topics of a node of a swarm; `holds(key)` tells whether its tasks hold a key."""
    return {
        NOTES: Topic(
            name=NOTES,
            classes=(Note,),
            authority=may_write_note,
            apply=lambda records, now: None,
            expires_at=lambda record: _at(record.until_ms) if isinstance(record, Note) else None,
            sync=NOTES_SYNC,
        ),
        TASKS: Topic(
            name=TASKS,
            classes=(Victory, TaskState),
            authority=lambda record: may_write_task(record, swarm, holds),
            apply=lambda records, now: None,
            expires_at=lambda record: None,
            sync=TASKS_SYNC,
            rank=rank_of_task,
        ),
    }


def _at(unix_ms: int) -> datetime | None:
    return None if unix_ms == FAR_MS else datetime.fromtimestamp(unix_ms / 1000, tz=UTC)


def _registry() -> MessageRegistry:
    registry = MessageRegistry()
    pairs = (NOTES_SYNC, TASKS_SYNC)
    registry.register(Note, Victory, TaskState, Pex)
    for pair in pairs:
        registry.register(pair.request, pair.response)
    registry.freeze()
    return registry


REGISTRY = _registry()
