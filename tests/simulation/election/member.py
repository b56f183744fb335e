"""A member of the swarm: the product's election machine, its disk, and a process that can die."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p2p.protocol.limits import FLOODED_AGE_MAX_MS
from swarm.election.machine import Beat, Effect, Election, Proclaim, Stand, StepDown
from swarm.election.timing import Timing
from swarm.replication.messages import Term
from tests.simulation.election.commands import Commands
from tests.simulation.election.gate import Gate
from tests.simulation.election.network import Message
from tests.simulation.election.office import Office
from tests.simulation.election.replication import Replication
from tests.simulation.election.rows import Disk
from tests.simulation.election.worker import Worker

if TYPE_CHECKING:
    from tests.simulation.election.world import World

TIMING = Timing(heartbeat_s=10.0, stale_s=30.0, candidacy_s=5.0)
SWEEP_S = 5.0
SYNC_S = 10.0
FLOODED_S = FLOODED_AGE_MAX_MS / 1000


@dataclass(frozen=True)
class Part:
    """How a member takes part: what its operator set."""

    number: int
    node_id: str
    first: bool  # the one whose role is emperor
    may_stand: bool


class Member:
    """One node; what is not on its disk dies with its process."""

    def __init__(self, world: World, part: Part) -> None:
        """Start it for the first time."""
        self.world, self.part = world, part
        self.number, self.node_id = part.number, part.node_id
        self.disk = Disk()
        self.alive = False
        self.clock_ahead_s = 0.0
        self.dies_at_next_commit = False
        self._process = 0
        self._paused = False
        self._waiting: list[tuple[bool, Callable[[], None]]] = []
        self.start()

    @property
    def machine(self) -> Election:
        """The election as this process knows it."""
        return self._machine

    @property
    def acts(self) -> bool:
        """Whether its process lives and may act as emperor."""
        return self.alive and self._machine.acts

    def now_s(self) -> float:
        """What its own clock shows."""
        return self.world.timeline.now_s + self.clock_ahead_s

    def start(self) -> None:
        """Begin a process with what is on the disk."""
        self._process += 1
        self.alive, self._paused, self._muted = True, False, False
        self._waiting.clear()
        highest = self.disk.highest()
        self._machine = Election(
            self.node_id,
            TIMING,
            highest=highest,
            in_office=self.disk.in_office,
            returns=True,
            eager=self.part.first and highest is None,
            may_stand=self.part.may_stand,
            now_s=self.now_s(),
        )
        self.commands, self.replication = Commands(self), Replication(self)
        self.office, self.worker = Office(self), Worker(self)
        self.gate = Gate(self)
        self._tick_at_s = float("inf")
        self.later(0.0, self._tick)
        for every_s, work in ((SWEEP_S, self._sweep), (SYNC_S, self.replication.sync)):
            self._repeat(every_s, work)
        self.worker.go_on()

    def kill(self) -> None:
        """End the process at once."""
        self.alive = False
        self._process += 1

    def pause(self) -> None:
        """Stop the process; what comes meanwhile waits for it."""
        self._paused = True

    def go_on(self, *, links_died: bool) -> None:
        """Let a stopped process go on, with or without what its links still held."""
        self._paused = False
        waiting, self._waiting = self._waiting, []
        for heard, do in waiting:
            if self.alive and not (heard and links_died):
                do()

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        """Do something later, if this process still lives then."""
        process = self._process
        self.world.timeline.after(delay_s, lambda: self._do(process, do))

    def hear(self, message: Message) -> None:
        """Take what the network brings; a process that is not there hears nothing."""
        if self.alive:
            self._do(self._process, lambda: self._hear(message), heard=True)

    def send(self, target: int, kind: str, *content: Any) -> None:
        """Send another member a message, unless the process dies before it gets to that."""
        if not self._muted:
            now_s = self.world.timeline.now_s
            self.world.network.send(target, Message(kind, self.number, now_s, content))

    def flood(self, kind: str, *content: Any) -> None:
        """Send all others a message."""
        for other in self.others():
            self.send(other, kind, *content)

    def others(self) -> Iterable[int]:
        """Return the numbers of all other members."""
        return (each for each in range(len(self.world.members)) if each != self.number)

    def hear_of(self, term: Term) -> None:
        """Take a victory that some record told of."""
        if self.disk.known.get(term.node_id, 0) < term.counter:
            self._note(term)
            self._apply(self._machine.on_victory(term, self.now_s()))

    def look_at_clock(self) -> None:
        """Have the next tick at once: the clock has jumped."""
        self.later(0.0, self._tick)

    def _do(self, process: int, do: Callable[[], None], heard: bool = False) -> None:
        if process != self._process:
            return
        if self._paused:
            self._waiting.append((heard, lambda: self._do(process, do)))
            return
        # A process that dies between its commit and what it would say of it.
        self._muted = self.dies_at_next_commit
        do()
        if self._muted:
            self.dies_at_next_commit = False
            self.kill()

    def _repeat(self, every_s: float, work: Callable[[], None]) -> None:
        def again() -> None:
            work()
            self.later(every_s, again)

        self.later(self.world.chance.uniform(0.0, every_s), again)

    def _sweep(self) -> None:
        self.worker.beat()
        self.commands.repeat()
        if self.disk.in_office and self._machine.acts:
            self.office.sweep()
            self.gate.sweep()

    def _tick(self) -> None:
        self._tick_at_s = float("inf")
        self._apply(self._machine.tick(self.now_s()))

    def _hear(self, message: Message) -> None:
        flooded = message.kind in ("heartbeat", "start", "life")
        if flooded and self.world.timeline.now_s - message.sent_s > FLOODED_S:
            return
        match message.kind:
            case "heartbeat":
                term, abdicated = message.content
                effects = self._machine.on_heartbeat(term, self.now_s(), abdicated=abdicated)
                self._note(term)
                self._apply(effects)
            case "start":
                self._apply(self._machine.on_candidacy(message.content[0], self.now_s()))
            case "life":
                self.office.on_life(message.origin, *message.content)
            case "records":
                self.replication.take(*message.content)
            case "command":
                self.commands.take(message.origin, *message.content)
            case "answer":
                self.commands.on_answer(*message.content)

    def abdicate(self) -> None:
        """Give up the office, as its operator asks."""
        self._apply(self._machine.abdicate(self.now_s()))

    def _note(self, term: Term) -> None:
        if term.node_id != self.node_id:
            self.disk.note(term)

    def _apply(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Proclaim(term):
                    self.world.claims.on_proclaimed(term)
                    self.disk.note(term)
                    self.disk.in_office = True
                    self.office.take()
                    self.replication.tell([])
                    self.flood("heartbeat", term, False)
                case Beat(term, abdicated):
                    self.flood("heartbeat", term, abdicated)
                case Stand(term):
                    self.flood("start", term)
                case StepDown():
                    self.disk.in_office = False
                    self.office.release()
        emperor = self._machine.emperor_node_id
        if emperor is not None and emperor != self.disk.followed:
            self.disk.followed = emperor
            self.worker.redirect(self.world.number_of(emperor))
        self._plan_tick()

    def _plan_tick(self) -> None:
        now_s = self.now_s()
        # Sums of two clocks are rounded: a timer may not come a hair too early for ever.
        wait_s = max(0.001, self._machine.next_due_s(now_s) - now_s)
        at_s = self.world.timeline.now_s + wait_s
        if at_s < self._tick_at_s:
            self._tick_at_s = at_s
            self.later(wait_s, self._tick)
