"""What a member has on disk: it survives a kill, as one transaction after the other left it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from p2p.sync.judging import Stamp
from swarm.replication.messages import Term
from swarm.states import TASK_MOVES, Actor, TaskStatus, sources_of


@dataclass(frozen=True, slots=True)
class Row:
    """A goal (no `goal`) or one of its subtasks, as its emperor holds it."""

    id: str
    goal: str
    status: TaskStatus
    generation: int = 0
    attempt: int = 0
    node: int = -1
    commit: str = ""
    floor: int = 0  # further dispatches are numbered above it

    def may_become(self, target: TaskStatus, by: Actor) -> bool:
        """Ask the product's own table of moves."""
        return self.status in sources_of(TASK_MOVES, target, by)


@dataclass(frozen=True, slots=True)
class Record:
    """A row as an emperor told it to everybody."""

    row: Row
    term: Term
    stamp: Stamp


@dataclass(slots=True)
class Run:
    """One run of a dispatch by a worker."""

    task: str
    generation: int
    term: Term  # of the emperor that dispatched it
    assigner: int
    ended: bool = False
    commit: str = ""  # empty: it failed
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """What is repeated until it is answered, or too old."""

    id: int
    target: int
    kind: str
    content: tuple[Any, ...]
    ends_s: float


@dataclass
class Disk:
    """All that a member keeps."""

    known: dict[str, int] = field(default_factory=dict)  # counter of each emperor's newest term
    in_office: bool = False
    followed: str | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    leases: dict[str, float] = field(default_factory=dict)
    to_look_at: set[str] = field(default_factory=set)  # adopted goals, whose gate has yet to run
    records: dict[str, Record] = field(default_factory=dict)
    runs: dict[tuple[str, int], Run] = field(default_factory=dict)
    newest_dispatch: dict[str, int] = field(default_factory=dict)
    outbox: dict[int, Command] = field(default_factory=dict)
    inbox: dict[tuple[int, int], str] = field(default_factory=dict)
    seq: int = 0

    def highest(self) -> Term | None:
        """Return the known term that counts."""
        terms = [Term(counter=each, node_id=node_id) for node_id, each in self.known.items()]
        return max(terms, key=lambda term: term.rank, default=None)

    def note(self, term: Term) -> None:
        """Remember a term."""
        self.known[term.node_id] = max(term.counter, self.known.get(term.node_id, 0))

    def next_seq(self) -> int:
        """Return the next number of what this member writes."""
        self.seq += 1
        return self.seq
