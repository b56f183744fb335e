"""What each kind of operation does to a world."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation.chronicle import AHEAD_MS
from tests.simulation.home import Home
from tests.simulation.node import SimNode
from tests.simulation.plan import Kind, Operation
from tests.simulation.tampering import Tamper
from tests.simulation.topics import FAR_MS, NOTES, TASKS, Note, TaskState, Victory

if TYPE_CHECKING:
    from tests.simulation.world import World

Term = tuple[int, str]  # counter, emperor
TASKS_COUNT = 8


class Operations:
    """Carries operations out; one that makes no sense now does nothing."""

    def __init__(self, world: World) -> None:
        """Take the world."""
        self._world = world
        self._backups: dict[int, tuple[Home, int]] = {}
        self._kinds: dict[Kind, Callable[[SimNode, Operation], None]] = {
            Kind.WRITE: self._write,
            Kind.REWRITE: self._rewrite,
            Kind.REMOVE: self._remove,
            Kind.WRITE_TASK: self._write_task,
            Kind.CHANGE_EMPEROR: self._change_emperor,
            Kind.JOIN: self._start,
            Kind.CRASH: lambda node, operation: self._crash(node, power=False),
            Kind.POWER_CUT: lambda node, operation: self._crash(node, power=True),
            Kind.RESTART: self._start,
            Kind.BACK_UP: self._back_up,
            Kind.RESTORE: self._restore,
            Kind.LOSE_DATABASE: self._lose_database,
            Kind.PART: self._part,
            Kind.CUT: self._cut,
            Kind.HEAL: self._heal,
            Kind.DELAY: self._delay,
            Kind.TAMPER: self._tamper,
            Kind.SLOW_READER: self._slow_reader,
            Kind.LIE: self._lie,
            Kind.CLOCK_AHEAD: self._clock_ahead,
        }

    def do(self, operation: Operation) -> None:
        """Carry an operation out."""
        self._kinds[operation.kind](self._world.nodes[operation.node], operation)

    def heal_for_good(self) -> None:
        """Heal the network, start who is down and send the liars away."""
        world = self._world
        world.network.heal()
        for node in world.nodes[len(world.honest) :]:
            if node.runs:
                self._crash(node, power=False)
        for node in world.honest:
            self._start(node)

    # What nodes write.

    def _write(self, node: SimNode, operation: Operation) -> None:
        name = f"{self._world.chance.getrandbits(128):032x}"
        # Some notes end while the network is in two parts.
        life_ms = int(60_000 + operation.amount * 6_000_000)
        until_ms = node.now_ms() + life_ms if operation.amount < 0.3 else FAR_MS
        self._publish(node, lambda: node.publish(Note, **_note(node, name, until_ms=until_ms)))

    def _rewrite(self, node: SimNode, operation: Operation) -> None:
        node = self._next_from(node, lambda each: each.runs and bool(_living_notes(each)))
        self._publish(node, lambda: self._write_again(node, operation.amount, gone=False))

    def _remove(self, node: SimNode, operation: Operation) -> None:
        node = self._next_from(node, lambda each: each.runs and bool(_living_notes(each)))
        self._publish(node, lambda: self._write_again(node, operation.amount, gone=True))

    def _write_again(self, node: SimNode, amount: float, *, gone: bool) -> None:
        if living := _living_notes(node):
            note = living[int(amount * len(living))]
            node.publish(Note, **_note(node, note.id, gone=gone, until_ms=note.until_ms))

    def _write_task(self, node: SimNode, operation: Operation) -> None:
        emperor = self._emperor_of(node.settings.swarm)
        if emperor is None:
            return
        swarm = operation.node % self._world.plan.swarms
        name = f"{swarm:016x}{operation.other % TASKS_COUNT:016x}"
        self._publish(emperor, lambda: self._rule(emperor, [name]))

    def _change_emperor(self, node: SimNode, operation: Operation) -> None:
        if node not in self._world.honest:
            return
        self._publish(node, lambda: self._be_elected(node))

    def _be_elected(self, node: SimNode) -> None:
        """Begin the next term that this node knows of, and write some tasks again under it."""
        best = _best_term(node)
        counter = best[0] + 1 if best else 1
        node.publish(Victory, swarm=node.settings.swarm, counter=counter, emperor=node.id)
        kept = node.home.database.tables[TASKS].kept.values()
        known = [each.record.id for each in kept if isinstance(each.record, TaskState)]
        self._rule(node, known[:4])

    def _rule(self, node: SimNode, names: list[str]) -> None:
        """Write tasks under the node's term; who knows of a better one has stepped down."""
        best = _best_term(node)
        if best is None or best[1] != node.id:
            return
        for name in names:
            text = f"state at {node.loop.time():.3f}"
            term = {"swarm": node.settings.swarm, "counter": best[0], "emperor": node.id}
            node.publish(TaskState, id=name, text=text, **term)

    def _emperor_of(self, swarm: str) -> SimNode | None:
        """Return one of those who think that they rule, by chance."""
        ruling = [
            node
            for node in self._world.honest
            if node.runs
            and node.settings.swarm == swarm
            and (_best_term(node) or ("", ""))[1] == node.id
        ]
        return self._world.chance.choice(ruling) if ruling else None

    def _publish(self, node: SimNode, write: Callable[[], Any]) -> None:
        if node.runs and node in self._world.honest:
            assert node.process is not None
            node.process.start(node.on_database(write))

    def _next_from(self, node: SimNode, fits: Callable[[SimNode], bool]) -> SimNode:
        """Return the first honest node from a place on that fits, or the one of the place."""
        honest = self._world.honest
        ring = [*honest[node.number :], *honest[: node.number]]
        return next((each for each in ring if fits(each)), node)

    # What befalls machines.

    def _start(self, node: SimNode, operation: Operation | None = None) -> None:
        if not node.runs:
            self._world.network.machine(node.address).powered = True
            node.start()

    def _crash(self, node: SimNode, *, power: bool) -> None:
        if node.process is not None:
            self._world.network.crash(node.process, power=power)
            node.down()

    def _back_up(self, node: SimNode, operation: Operation) -> None:
        self._backups[node.number] = (node.home.backup(), self._world.chronicle.written_by(node))

    def _restore(self, node: SimNode, operation: Operation) -> None:
        node = self._next_from(node, lambda each: each.runs and each.number in self._backups)
        found = self._backups.get(node.number)
        if found is None or not node.runs:
            return
        self._crash(node, power=False)
        node.home.restore(found[0])
        self._world.chronicle.restored(node, found[0], found[1])
        self._start(node)

    def _lose_database(self, node: SimNode, operation: Operation) -> None:
        if node.runs and node in self._world.honest:
            self._crash(node, power=False)
            node.home.lose_database()
            self._world.chronicle.restored(node, None, 0)
            self._backups.pop(node.number, None)
            self._start(node)

    def _clock_ahead(self, node: SimNode, operation: Operation) -> None:
        """Let a clock run twenty minutes ahead, until the next time that everything heals."""
        if node in self._world.honest and node.skew_ms < AHEAD_MS:
            node.skew_ms += AHEAD_MS
            self._world.chronicle.clocks_ahead.add(node.number)

    # What befalls the network.

    def _part(self, node: SimNode, operation: Operation) -> None:
        world = self._world
        sides = world.plan.sides
        if operation.amount < 1.0:
            sides = [world.chance.randrange(2) for _ in world.nodes]
        world.network.part(
            {each.address: side for each, side in zip(world.nodes, sides, strict=True)}
        )

    def _cut(self, node: SimNode, operation: Operation) -> None:
        self._world.network.cut(node.address, self._world.nodes[operation.other].address)

    def _heal(self, node: SimNode, operation: Operation) -> None:
        self._world.network.heal()
        for each in self._world.nodes:
            each.skew_ms %= AHEAD_MS  # clocks are set right, too

    def _delay(self, node: SimNode, operation: Operation) -> None:
        self._world.network.machine(node.address).slowness = 5 + 40 * operation.amount

    def _tamper(self, node: SimNode, operation: Operation) -> None:
        drop = 0.5 * operation.amount
        for peer in self._world.nodes:
            if peer is not node:
                tamper = Tamper(self._world.chance, drop=drop, double=0.2, late=0.3)
                self._world.network.tampers[node.address, peer.address] = tamper

    def _slow_reader(self, node: SimNode, operation: Operation) -> None:
        self._world.network.stall(node.address, True)

    def _lie(self, node: SimNode, operation: Operation) -> None:
        for number, liar in self._world.liars.items():
            if self._world.nodes[number].runs:
                liar.lie(self._world.nodes[operation.other].id, operation.amount)


def _note(node: SimNode, name: str, **fields: Any) -> dict[str, Any]:
    text = f"said at {node.loop.time():.3f}"
    return {"owner": node.id, "id": name, "text": text, **fields}


def _living_notes(node: SimNode) -> list[Note]:
    kept = node.home.database.tables[NOTES].kept.values()
    own = [each.record for each in kept if each.record.origin == node.id]
    return [each for each in own if isinstance(each, Note) and not each.gone]


def _best_term(node: SimNode) -> Term | None:
    """Return the highest term that a node knows: of equal counters that of the lower emperor."""
    kept = node.home.database.tables[TASKS].kept.values()
    terms = [each.record for each in kept if isinstance(each.record, Victory)]
    if not terms:
        return None
    best = min(terms, key=lambda each: (-each.counter, each.emperor))
    return (best.counter, best.emperor)
